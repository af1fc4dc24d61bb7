// SPDX-License-Identifier: GPL-2.0

//! What the tasks of a model share: locks and atomics over shuttle's.
//!
//! Under shuttle's own schedulers they are those, with a condition variable to a lock. Under
//! [`explore`](super::explore) they say besides what each task has seen and what each of them
//! holds. A task is a function of what it has seen, so these two are all that there is to know
//! about a moment of an execution: two executions that come to the same moment go on the same way,
//! and one of them can be left.

use shuttle::current::me;
use shuttle::sync as inner;
use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a task waits for before it goes on.
#[derive(Clone, Copy, Default)]
enum Want {
    #[default]
    Nothing,
    Read(usize),
    Write(usize),
    /// The object does not hold what it did any more.
    Change(usize, u64),
}

#[derive(Clone, Copy, Default, Hash)]
struct Object {
    /// What it held when it was unlocked last.
    content: u64,
    readers: u32,
    writer: bool,
}

#[derive(Clone, Copy, Default)]
struct Task {
    /// What it has seen, all of it in one number.
    seen: u64,
    want: Want,
}

/// Objects in the order in which they were made, tasks by their numbers.
#[derive(Default)]
pub struct Register {
    objects: Vec<Object>,
    tasks: Vec<Task>,
    /// A task is about to look at something shared.
    at_point: bool,
}

thread_local! {
    static REGISTER: RefCell<Register> = RefCell::default();
    static EXPLORING: Cell<bool> = const { Cell::new(false) };
}

fn number(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Register {
    /// From now on executions are explored, or are not.
    pub fn set_exploring(exploring: bool) {
        EXPLORING.set(exploring);
    }

    /// Another execution begins.
    pub fn clear() {
        REGISTER.take();
    }

    pub fn with<R>(f: impl FnOnce(&mut Self) -> R) -> R {
        REGISTER.with_borrow_mut(f)
    }

    fn task(&mut self, id: usize) -> &mut Task {
        if self.tasks.len() <= id {
            self.tasks.resize(id + 1, Task::default());
        }
        &mut self.tasks[id]
    }

    /// Whether the current task is about to look at something shared; asked once each time.
    pub fn take_point(&mut self) -> bool {
        std::mem::take(&mut self.at_point)
    }

    /// Whether the task is not about to look at something shared, but comes to that.
    pub fn is_on_its_way(&mut self, task: usize) -> bool {
        matches!(self.task(task).want, Want::Nothing)
    }

    /// Whether what the task is about to do can be done now.
    pub fn can_go_on(&mut self, task: usize) -> bool {
        let (want, objects) = (self.task(task).want, &self.objects);
        match want {
            Want::Nothing => true,
            Want::Read(id) => !objects[id].writer,
            Want::Write(id) => !objects[id].writer && objects[id].readers == 0,
            Want::Change(id, was) => {
                !objects[id].writer && objects[id].readers == 0 && objects[id].content != was
            }
        }
    }

    /// This moment, in one number.
    pub fn moment(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.objects.hash(&mut hasher);
        for task in &self.tasks {
            task.seen.hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Something that is shared, by its place in the register.
struct Id(usize);

impl Id {
    fn new(value: &impl Hash) -> Self {
        Register::with(|register| {
            register.objects.push(Object {
                content: number(value),
                ..Object::default()
            });
            Self(register.objects.len() - 1)
        })
    }

    /// The task goes on when it may, and when the explorer says so.
    fn wait(&self, want: Want) {
        if !EXPLORING.get() {
            return;
        }
        let task = usize::from(me());
        Register::with(|register| {
            register.task(task).want = want;
            register.at_point = true;
        });
        shuttle::thread::yield_now();
        Register::with(|register| register.task(task).want = Want::Nothing);
    }

    fn locked(&self, value: &impl Hash, to_write: bool) {
        if !EXPLORING.get() {
            return;
        }
        let seen = number(value);
        Register::with(|register| {
            let task = register.task(usize::from(me()));
            task.seen = number((task.seen, self.0, to_write, seen));
            let object = &mut register.objects[self.0];
            if to_write {
                object.writer = true;
            } else {
                object.readers += 1;
            }
        });
    }

    fn unlocked(&self, value: &impl Hash, written: bool) {
        if !EXPLORING.get() || std::thread::panicking() {
            return;
        }
        Register::with(|register| {
            let object = &mut register.objects[self.0];
            if written {
                object.writer = false;
                object.content = number(value);
            } else {
                object.readers -= 1;
            }
        });
    }
}

/// A mutex, and waiting for what it holds.
pub struct Mutex<T: Hash> {
    id: Id,
    inner: inner::Mutex<T>,
    changed: inner::Condvar,
    waiting: AtomicUsize,
}

impl<T: Hash> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self {
            id: Id::new(&value),
            inner: inner::Mutex::new(value),
            changed: inner::Condvar::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.take(Want::Write(self.id.0))
    }

    /// Locks it when `ready` says so.
    pub fn lock_when(&self, ready: impl Fn(&T) -> bool) -> MutexGuard<'_, T> {
        let mut guard = self.lock();
        while !ready(&guard) {
            if EXPLORING.get() {
                let was = number(&*guard);
                drop(guard);
                guard = self.take(Want::Change(self.id.0, was));
            } else {
                self.waiting.fetch_add(1, Relaxed);
                let inner = guard.inner.take().unwrap();
                guard.inner = Some(self.changed.wait(inner).unwrap());
                self.waiting.fetch_sub(1, Relaxed);
            }
        }
        guard
    }

    fn take(&self, want: Want) -> MutexGuard<'_, T> {
        self.id.wait(want);
        let inner = self.inner.lock().unwrap();
        self.id.locked(&*inner, true);
        MutexGuard {
            inner: Some(inner),
            mutex: self,
        }
    }
}

impl<T: Hash + Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

pub struct MutexGuard<'a, T: Hash> {
    inner: Option<inner::MutexGuard<'a, T>>,
    mutex: &'a Mutex<T>,
}

impl<T: Hash> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        self.mutex.id.unlocked(&*inner, true);
        drop(inner);
        if self.mutex.waiting.load(Relaxed) > 0 && !std::thread::panicking() {
            self.mutex.changed.notify_all();
        }
    }
}

impl<T: Hash> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_ref().unwrap()
    }
}

impl<T: Hash> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().unwrap()
    }
}

/// A lock for many readers or one writer.
pub struct RwLock<T: Hash> {
    id: Id,
    inner: inner::RwLock<T>,
}

impl<T: Hash> RwLock<T> {
    pub fn new(value: T) -> Self {
        Self {
            id: Id::new(&value),
            inner: inner::RwLock::new(value),
        }
    }

    pub fn read(&self) -> ReadGuard<'_, T> {
        self.id.wait(Want::Read(self.id.0));
        let inner = self.inner.read().unwrap();
        self.id.locked(&*inner, false);
        ReadGuard {
            inner,
            id: &self.id,
        }
    }

    pub fn write(&self) -> WriteGuard<'_, T> {
        self.id.wait(Want::Write(self.id.0));
        let inner = self.inner.write().unwrap();
        self.id.locked(&*inner, true);
        WriteGuard {
            inner,
            id: &self.id,
        }
    }
}

pub struct ReadGuard<'a, T: Hash> {
    inner: inner::RwLockReadGuard<'a, T>,
    id: &'a Id,
}

impl<T: Hash> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        self.id.unlocked(&*self.inner, false);
    }
}

impl<T: Hash> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

pub struct WriteGuard<'a, T: Hash> {
    inner: inner::RwLockWriteGuard<'a, T>,
    id: &'a Id,
}

impl<T: Hash> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        self.id.unlocked(&*self.inner, true);
    }
}

impl<T: Hash> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: Hash> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// A number that is read and changed in one step.
pub struct Atomic<T: Hash + Copy>(Mutex<T>);

impl<T: Hash + Copy> Atomic<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub fn load(&self) -> T {
        *self.0.lock()
    }

    pub fn store(&self, value: T) {
        *self.0.lock() = value;
    }

    pub fn update(&self, f: impl FnOnce(T) -> T) {
        let mut value = self.0.lock();
        *value = f(*value);
    }
}
