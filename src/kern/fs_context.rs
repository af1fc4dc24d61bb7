// SPDX-License-Identifier: GPL-2.0

//! File system types, and how they are mounted and remounted.
//!
//! ```text
//! fsopen  ─► init_fs_context ─► Mount::new_params
//! option  ─► parse_param     ─► Mount::parse        (unknown: the VFS refuses it by its name)
//! mount   ─► get_tree        ─► Mount::fill
//! remount ─► reconfigure     ─► Mount::reconfigure
//! ```
//!
//! C headers: `include/linux/fs_context.h`, `include/linux/fs_parser.h`.

use super::ops::{zeroed, Table};
use super::super_block::{flags, free_info, put, Close, NewSuperBlock, SuperBlock};
use crate::bindings;
use core::marker::{PhantomData, PhantomPinned};
use core::ptr::NonNull;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::types::Opaque;

/// A file system that can be mounted from a block device.
pub trait Mount: Close {
    /// The options of one mount or remount.
    type Params: Send + Sync;

    /// What belongs to one registered type: a file system can have several names.
    type Type: Send + Sync;

    /// No options given yet; `mounted` is there for a remount.
    fn new_params(mounted: Option<&SuperBlock<Self>>) -> Self::Params;

    /// Takes one option; `Ok(false)` where there is none of that name.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a value that the option cannot have, after a message to `log`.
    fn parse(
        params: &mut Self::Params,
        key: &str,
        value: Option<&str>,
        log: &ContextLog<'_>,
    ) -> Result<bool>;

    /// Mounts. Gives the super block its info and root, or fails; what it leaves behind then is
    /// closed ([`Close`]) by the caller.
    fn fill(sb: NewSuperBlock<'_, Self>, params: &Self::Params) -> Result;

    /// Remounts, `s_umount` being held for writing. `read_only` is what is asked for.
    fn reconfigure(sb: &SuperBlock<Self>, params: &Self::Params, read_only: bool) -> Result;
}

/// Where the one who mounts reads why an option was refused.
pub struct ContextLog<'a>(*mut bindings::fs_context, PhantomData<&'a ()>);

impl ContextLog<'_> {
    /// Tells what is wrong.
    pub fn error(&self, message: kernel::fmt::Arguments<'_>) {
        // SAFETY: The context is valid while the option is parsed; "%pA" prints Rust's arguments.
        unsafe {
            bindings::logfc(
                (*self.0).log.log,
                (*self.0).log.prefix,
                b'e',
                c"%pA".as_char_ptr(),
                core::ptr::from_ref(&message).cast::<c_void>(),
            )
        }
    }
}

/// A registered file system type; unregistered when dropped.
#[pin_data(PinnedDrop)]
pub struct Registration<F: Mount> {
    #[pin]
    fs_type: Opaque<bindings::file_system_type>,
    own: F::Type,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: Registering and unregistering may happen in different tasks.
unsafe impl<F: Mount> Send for Registration<F> {}
// SAFETY: A shared reference gives `own` alone away, which is `Sync`.
unsafe impl<F: Mount> Sync for Registration<F> {}

impl<F: Mount> Registration<F> {
    const OPERATIONS: bindings::fs_context_operations = bindings::fs_context_operations {
        free: Some(free::<F>),
        parse_param: Some(parse_param::<F>),
        get_tree: Some(get_tree::<F>),
        reconfigure: Some(reconfigure::<F>),
        ..zeroed()
    };

    /// Registers `F` as `name`, for `mount -t`.
    ///
    /// # Errors
    ///
    /// `EBUSY` where there is a type of that name.
    pub fn new(
        module: &'static ThisModule,
        name: &'static CStr,
        own: F::Type,
    ) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            own,
            fs_type <- Opaque::try_ffi_init(|slot: *mut bindings::file_system_type| {
                // SAFETY: `slot` is valid for writes; it stays where it is until `drop`, which
                // unregisters it.
                unsafe {
                    slot.write(core::mem::zeroed());
                    (*slot).owner = module.as_ptr().cast();
                    (*slot).name = name.as_char_ptr();
                    (*slot).init_fs_context = Some(init_fs_context::<F>);
                    (*slot).kill_sb = Some(kill_sb::<F>);
                    (*slot).fs_flags = (bindings::FS_REQUIRES_DEV
                        | bindings::FS_ALLOW_IDMAP
                        | bindings::FS_MGTIME) as c_int;
                    for_each_lock_key(slot, bindings::lockdep_register_key);
                    to_result(bindings::register_filesystem(slot))
                        .inspect_err(|_| for_each_lock_key(slot, bindings::lockdep_unregister_key))
                }
            }),
            _pin: PhantomPinned,
        })
    }

    /// What belongs to the registered type `fs_type`.
    ///
    /// # Safety
    ///
    /// `fs_type` is the field of a registration of `F` that lives as long as `'a`.
    unsafe fn own_of<'a>(fs_type: *mut bindings::file_system_type) -> &'a F::Type {
        // SAFETY: By the caller's word.
        unsafe {
            let registration = fs_type.byte_sub(core::mem::offset_of!(Self, fs_type));
            &(*registration.cast::<Self>()).own
        }
    }
}

impl<F: Mount> SuperBlock<F> {
    /// What belongs to the type by whose name it was mounted.
    pub fn own_type(&self) -> &F::Type {
        // SAFETY: `s_type` is set once, to one of our registrations, and a super block keeps the
        // module loaded, which owns them.
        unsafe { Registration::<F>::own_of((*self.as_ptr()).s_type) }
    }
}

impl<F: Mount> NewSuperBlock<'_, F> {
    /// As [`SuperBlock::own_type`].
    pub fn own_type(&self) -> &F::Type {
        // SAFETY: As there.
        unsafe { Registration::<F>::own_of((*self.as_ptr()).s_type) }
    }
}

#[pinned_drop]
impl<F: Mount> PinnedDrop for Registration<F> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Registered by `new`, as were the keys; no super block of the type is left.
        unsafe {
            bindings::unregister_filesystem(self.fs_type.get());
            for_each_lock_key(self.fs_type.get(), bindings::lockdep_unregister_key);
        }
    }
}

/// Calls `f` with each lock class that the VFS takes from a type. lockdep knows those in static
/// memory by themselves; ours has to be told of.
///
/// # Safety
///
/// `fs_type` is valid, and `f` may be called with its keys.
unsafe fn for_each_lock_key(
    fs_type: *mut bindings::file_system_type,
    f: unsafe extern "C" fn(*mut bindings::lock_class_key),
) {
    // SAFETY: By the caller's word.
    unsafe {
        for key in &mut (*fs_type).s_writers_key {
            f(key);
        }
        for key in [
            &raw mut (*fs_type).s_lock_key,
            &raw mut (*fs_type).s_umount_key,
            &raw mut (*fs_type).s_vfs_rename_key,
            &raw mut (*fs_type).i_lock_key,
            &raw mut (*fs_type).i_mutex_key,
            &raw mut (*fs_type).invalidate_lock_key,
            &raw mut (*fs_type).i_mutex_dir_key,
        ] {
            f(key);
        }
    }
}

/// Holds the operations in a static of its own for each `F`.
struct Operations<F: Mount>(PhantomData<F>);

impl<F: Mount> Operations<F> {
    const TABLE: &'static Table<bindings::fs_context_operations> =
        &Table::new(Registration::<F>::OPERATIONS);
}

/// Makes the options of a mount or remount.
///
/// # Safety
///
/// Only the VFS calls it, as it does this operation.
unsafe extern "C" fn init_fs_context<F: Mount>(fc: *mut bindings::fs_context) -> c_int {
    // SAFETY: The VFS passes a valid context; for a remount it has the root of a mounted super
    // block of ours.
    let mounted = unsafe {
        if (*fc).purpose() == bindings::fs_context_purpose_FS_CONTEXT_FOR_RECONFIGURE {
            Some(SuperBlock::from_raw((*(*fc).root).d_sb))
        } else {
            None
        }
    };
    let params = match KBox::new(F::new_params(mounted), GFP_KERNEL) {
        Ok(params) => params,
        Err(_) => return ENOMEM.to_errno(),
    };
    // SAFETY: The context is valid and ours to set up; `free` takes the box back.
    unsafe {
        (*fc).fs_private = KBox::into_raw(params).cast();
        (*fc).ops = Operations::<F>::TABLE.as_ptr();
        // Files carry change counters, always. CAST: the flag is a bit of the lower half.
        (*fc).sb_flags |= flags::I_VERSION as c_uint;
    }
    0
}

/// Frees what [`init_fs_context`] made.
///
/// # Safety
///
/// Only the VFS calls it, as it does this operation.
unsafe extern "C" fn free<F: Mount>(fc: *mut bindings::fs_context) {
    // SAFETY: Called once for a context, of which `init_fs_context` may have made ours.
    unsafe {
        let params = (*fc).fs_private.cast::<F::Params>();
        if !params.is_null() {
            drop(KBox::from_raw(params));
        }
    }
}

/// Takes one option.
///
/// # Safety
///
/// Only the VFS calls it, as it does this operation.
unsafe extern "C" fn parse_param<F: Mount>(
    fc: *mut bindings::fs_context,
    param: *mut bindings::fs_parameter,
) -> c_int {
    let unknown = ENOPARAM.to_errno();
    // SAFETY: Context and parameter are valid for the call, and the context's mutex is held; a
    // key and a string value are terminated.
    let (params, key, value) = unsafe {
        let params = &mut *(*fc).fs_private.cast::<F::Params>();
        let key = CStr::from_char_ptr((*param).key);
        let value = match (*param).type_() {
            bindings::fs_value_type_fs_value_is_flag => None,
            bindings::fs_value_type_fs_value_is_string => {
                Some(CStr::from_char_ptr((*param).__bindgen_anon_1.string))
            }
            _ => return unknown,
        };
        (params, key, value)
    };
    let Ok(key) = key.to_str() else {
        return unknown;
    };
    let log = ContextLog(fc, PhantomData);
    let value = match value.map(|v| v.to_str()) {
        None => None,
        Some(Ok(value)) => Some(value),
        Some(Err(_)) => {
            log.error(fmt!("the value of '{}' is not text", key));
            return EINVAL.to_errno();
        }
    };
    match F::parse(params, key, value, &log) {
        Ok(true) => 0,
        Ok(false) => unknown,
        Err(e) => e.to_errno(),
    }
}

/// Mounts, or finds the mounted one.
///
/// # Safety
///
/// Only the VFS calls it, as it does this operation.
unsafe extern "C" fn get_tree<F: Mount>(fc: *mut bindings::fs_context) -> c_int {
    // SAFETY: The context is valid.
    unsafe { bindings::get_tree_bdev(fc, Some(fill_super::<F>)) }
}

/// Mounts what is not mounted.
///
/// # Safety
///
/// Only the VFS calls it, as it does this operation.
unsafe extern "C" fn fill_super<F: Mount>(
    sb: *mut bindings::super_block,
    fc: *mut bindings::fs_context,
) -> c_int {
    let Some(new) = NonNull::new(sb) else {
        return EINVAL.to_errno();
    };
    // SAFETY: `get_tree_bdev()` passes a new super block of ours, and our context.
    let filled = unsafe {
        let params = &*(*fc).fs_private.cast::<F::Params>();
        F::fill(NewSuperBlock::from_raw(new), params)
    };
    let Err(error) = filled else {
        return 0;
    };
    // SAFETY: Nobody else has seen the super block. Without a root the VFS would not call
    // `put_super`; so the root goes, and we do it. An inode that is let go before the super block
    // is active dies at once.
    unsafe {
        if !(*sb).s_root.is_null() {
            bindings::dput((*sb).s_root);
            (*sb).s_root = core::ptr::null_mut();
        }
        if !(*sb).s_fs_info.is_null() {
            put::<F>(sb);
            free_info::<F>(sb);
        }
    }
    error.to_errno()
}

/// Remounts.
///
/// # Safety
///
/// Only the VFS calls it, as it does this operation.
unsafe extern "C" fn reconfigure<F: Mount>(fc: *mut bindings::fs_context) -> c_int {
    // SAFETY: The context is valid, of ours, and has the root of a mounted super block of ours.
    let (sb, params, read_only) = unsafe {
        (
            SuperBlock::<F>::from_raw((*(*fc).root).d_sb),
            &*(*fc).fs_private.cast::<F::Params>(),
            (*fc).sb_flags as usize & flags::RDONLY != 0,
        )
    };
    match F::reconfigure(sb, params, read_only) {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// Ends a super block.
///
/// # Safety
///
/// Only the VFS calls it, as it does this operation.
unsafe extern "C" fn kill_sb<F: Mount>(sb: *mut bindings::super_block) {
    // SAFETY: The VFS calls this once for each super block that it made for us. After
    // `kill_block_super` nobody uses it.
    unsafe {
        bindings::kill_block_super(sb);
        free_info::<F>(sb);
    }
}
