//! A view of the ring's bytes as a Python buffer: what goes into a socket is not copied before.
//!
//! The only `unsafe` of the bindings. The slice holds its chunk by reference count, its bytes are immutable once
//! published, and the buffer's owner keeps the slice alive, so the pointer handed out stays valid and unchanged.
#![allow(unsafe_code)]
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::os::raw::{c_int, c_void};

#[pyclass(frozen, module = "sprawl._native")]
pub struct Slice {
    pub inner: sprawl_core::arena::Slice,
}

#[pymethods]
impl Slice {
    fn __len__(&self) -> usize {
        self.inner.len()
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes: &[u8] = &slf.get().inner;
        let length =
            ffi::Py_ssize_t::try_from(bytes.len()).map_err(|_| PyBufferError::new_err("slice too long"))?;
        // SAFETY: `view` is the caller's structure; pointer and length are those of a live slice (see the module's
        // text); read-only is set, so nobody writes through it; the view takes its own reference to `slf`.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                bytes.as_ptr().cast_mut().cast::<c_void>(),
                length,
                1,
                flags,
            )
        };
        if filled == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}
