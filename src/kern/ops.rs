// SPDX-License-Identifier: GPL-2.0

//! Operations tables: how C calls a safe Rust function.
//!
//! A table of C function pointers is filled with [`shim1`] to [`shim7`]:
//!
//! ```ignore
//! static DIR_OPS: Table<bindings::inode_operations> = Table::new(bindings::inode_operations {
//!     lookup: Some(shim3(&namei::lookup)),
//!     ..zeroed()
//! });
//! ```
//!
//! where `fn lookup(dir: &Inode<Ext4>, dentry: &Dentry, flags: u32) -> Result<Option<..>>` is an
//! ordinary safe function. `shim3` is the function with C's calling convention that turns each
//! argument with [`FromC`], calls it, and turns the result with [`IntoC`].
//!
//! # Why this is sound
//!
//! - The function is a zero-sized `fn` item (or a closure that captures nothing), so its type alone
//!   says what to call; the shim makes the value out of nothing, which is right for a zero-sized
//!   `Copy` type of which one value was shown.
//! - The C types of the arguments are fixed by the table's field: a function whose Rust types belong
//!   to other C types does not compile.
//! - What C promises for each argument (a pointer valid and of our file system while the call
//!   lasts) is what [`FromC::from_c`] demands. The Rust function takes references of any lifetime,
//!   so that it cannot keep one beyond the call. **A function given to a shim therefore never
//!   writes `'static` (or another fixed lifetime) in its arguments.**
//! - No unwinding: the kernel is built with `panic=abort`.

use crate::bindings;
use core::marker::PhantomData;
use core::ops::Deref;
use kernel::prelude::*;

/// An argument that arrives from C.
///
/// # Safety
///
/// `C` has the ABI of the C parameter, and `from_c` is sound for what the kernel passes there.
pub unsafe trait FromC: Sized {
    /// The C type.
    type C;

    /// The Rust view of `c`.
    ///
    /// # Safety
    ///
    /// `c` is what the kernel passed to an operation: a pointer is valid, with the locks and
    /// references that the operation's documentation promises, as long as the result lives.
    unsafe fn from_c(c: Self::C) -> Self;
}

/// A result that goes back to C.
pub trait IntoC {
    /// The C type.
    type C;

    /// The C view of `self`.
    fn into_c(self) -> Self::C;
}

/// A Rust type that is a view of the C object `C`, used behind references.
///
/// # Safety
///
/// A `*mut C` that the kernel hands to an operation of our tables may be cast to `*const Self`:
/// `Self` is transparent over `C`, or is the larger object that our allocation functions made
/// around it with `C` at its start.
pub unsafe trait CObject {
    /// The C struct.
    type C;
}

// SAFETY: by `CObject`, the cast is right; the pointer is valid for the call by `from_c`'s contract.
unsafe impl<'a, T: CObject> FromC for &'a T {
    type C = *mut T::C;

    unsafe fn from_c(c: *mut T::C) -> Self {
        // SAFETY: as above.
        unsafe { &*c.cast::<T>() }
    }
}

// SAFETY: as for `&T`; null becomes `None`.
unsafe impl<'a, T: CObject> FromC for Option<&'a T> {
    type C = *mut T::C;

    unsafe fn from_c(c: *mut T::C) -> Self {
        // SAFETY: a pointer that is not null is valid by the contract of `from_c`.
        unsafe { c.cast::<T>().as_ref() }
    }
}

/// A reference where C's parameter is a pointer to `const`.
pub struct ConstRef<'a, T>(&'a T);

impl<T> Deref for ConstRef<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

// SAFETY: as for `&T`.
unsafe impl<'a, T: CObject> FromC for ConstRef<'a, T> {
    type C = *const T::C;

    unsafe fn from_c(c: *const T::C) -> Self {
        // SAFETY: by `CObject` the cast is right, and the pointer is valid for the call.
        Self(unsafe { &*c.cast::<T>() })
    }
}

/// Types that are the same on both sides.
macro_rules! same_in_c {
    ($($t:ty),* $(,)?) => {$(
        // SAFETY: the type is its own C type and any value will do.
        unsafe impl FromC for $t {
            type C = $t;
            unsafe fn from_c(c: $t) -> $t { c }
        }

        impl IntoC for $t {
            type C = $t;
            fn into_c(self) -> $t { self }
        }
    )*};
}

same_in_c!(bool, i8, u8, i16, u16, i32, u32, i64, u64, isize, usize);

// SAFETY: a raw pointer promises nothing.
unsafe impl<T> FromC for *mut T {
    type C = *mut T;
    unsafe fn from_c(c: *mut T) -> *mut T {
        c
    }
}

// SAFETY: a raw pointer promises nothing.
unsafe impl<T> FromC for *const T {
    type C = *const T;
    unsafe fn from_c(c: *const T) -> *const T {
        c
    }
}

impl<T> IntoC for *mut T {
    type C = *mut T;
    fn into_c(self) -> *mut T {
        self
    }
}

impl<T> IntoC for *const T {
    type C = *const T;
    fn into_c(self) -> *const T {
        self
    }
}

impl IntoC for () {
    type C = ();
    fn into_c(self) {}
}

/// Zero or a negative errno.
impl IntoC for Result {
    type C = c_int;
    fn into_c(self) -> c_int {
        match self {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }
}

/// A flag or a negative errno: `Ok(true)` is 1.
impl IntoC for Result<bool> {
    type C = c_int;
    fn into_c(self) -> c_int {
        match self {
            Ok(v) => c_int::from(v),
            Err(e) => e.to_errno(),
        }
    }
}

/// A count of bytes or a negative errno (`ssize_t`).
impl IntoC for Result<usize> {
    type C = isize;
    fn into_c(self) -> isize {
        match self {
            // No object in memory is larger than `isize::MAX` bytes.
            Ok(n) => isize::try_from(n).unwrap_or(isize::MAX),
            Err(e) => e.to_errno() as isize,
        }
    }
}

/// A file position or a negative errno (`loff_t`).
impl IntoC for Result<i64> {
    type C = i64;
    fn into_c(self) -> i64 {
        match self {
            Ok(n) => n,
            Err(e) => i64::from(e.to_errno()),
        }
    }
}

/// An owned object that C takes over as a pointer.
pub trait IntoPtr {
    /// The C struct.
    type C;

    /// Gives the object (and the reference it holds) to C. Never null.
    fn into_ptr(self) -> *mut Self::C;
}

/// A pointer, or an errno in the pointer (`ERR_PTR`).
impl<P: IntoPtr> IntoC for Result<P> {
    type C = *mut P::C;
    fn into_c(self) -> *mut P::C {
        match self {
            Ok(p) => p.into_ptr(),
            Err(e) => e.to_ptr(),
        }
    }
}

/// A pointer, null, or an errno in the pointer.
impl<P: IntoPtr> IntoC for Result<Option<P>> {
    type C = *mut P::C;
    fn into_c(self) -> *mut P::C {
        match self {
            Ok(Some(p)) => p.into_ptr(),
            Ok(None) => core::ptr::null_mut(),
            Err(e) => e.to_ptr(),
        }
    }
}

/// Makes the one value of a zero-sized function type.
///
/// # Safety
///
/// A value of `F` exists.
unsafe fn conjure<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0, "a shim takes a plain function") };
    // SAFETY: `F` has no bytes, is `Copy`, and is inhabited by the caller's word.
    unsafe { core::mem::zeroed() }
}

macro_rules! define_shim {
    ($shim:ident: $($arg:ident $A:ident),+) => {
        /// `f` as a C function pointer; see the module's head.
        pub const fn $shim<F, R, $($A),+>(
            _f: &F,
        ) -> unsafe extern "C" fn($($A::C),+) -> R::C
        where
            F: Fn($($A),+) -> R + Copy,
            R: IntoC,
            $($A: FromC),+
        {
            /// What C calls.
            ///
            /// # Safety
            ///
            /// The arguments are those of the operation.
            unsafe extern "C" fn shim<F, R, $($A),+>($($arg: $A::C),+) -> R::C
            where
                F: Fn($($A),+) -> R + Copy,
                R: IntoC,
                $($A: FromC),+
            {
                // SAFETY: the value that `$shim` was shown.
                let f = unsafe { conjure::<F>() };
                // SAFETY: C calls through the table, with what the operation promises.
                f($(unsafe { $A::from_c($arg) }),+).into_c()
            }
            shim::<F, R, $($A),+>
        }
    };
}

define_shim!(shim1: a A);
define_shim!(shim2: a A, b B);
define_shim!(shim3: a A, b B, c C);
define_shim!(shim4: a A, b B, c C, d D);
define_shim!(shim5: a A, b B, c C, d D, e E);
define_shim!(shim6: a A, b B, c C, d D, e E, f F6);
define_shim!(shim7: a A, b B, c C, d D, e E, f F6, g G);

/// A C struct of optional function pointers, flags and pointers, for which all zero means "none".
///
/// # Safety
///
/// All zero bytes are a valid value, and the table may be shared between CPUs.
pub unsafe trait OpsTable {}

macro_rules! ops_tables {
    ($($t:ident),* $(,)?) => {$(
        // SAFETY: a table of pointers that C only reads.
        unsafe impl OpsTable for bindings::$t {}
    )*};
}

ops_tables!(
    address_space_operations,
    dentry_operations,
    export_operations,
    file_operations,
    fs_context_operations,
    inode_operations,
    iomap_ops,
    iomap_write_ops,
    iomap_writeback_ops,
    iomap_dio_ops,
    iomap_read_ops,
    proc_ops,
    super_operations,
    vm_operations_struct,
    xattr_handler,
);

/// The table with nothing in it, to fill in the rest of a literal.
pub const fn zeroed<T: OpsTable>() -> T {
    // SAFETY: by `OpsTable`.
    unsafe { core::mem::zeroed() }
}

/// A table in a `static`, handed to C as a pointer that lives for ever.
#[repr(transparent)]
pub struct Table<T>(T, PhantomData<*const ()>);

// SAFETY: C only reads the table (`OpsTable`), from any CPU.
unsafe impl<T: OpsTable> Sync for Table<T> {}

impl<T: OpsTable> Table<T> {
    /// Wraps `table`.
    pub const fn new(table: T) -> Self {
        Self(table, PhantomData)
    }

    /// The pointer that C wants.
    pub const fn as_ptr(&'static self) -> *const T {
        &raw const self.0
    }
}
