//! Bytes that cross the border without a copy: a view of ours as a Python buffer, a buffer of Python as a slice.
//!
//! The only `unsafe` of the bindings. A [`Slice`] holds its chunk by reference count, its bytes are immutable once
//! published, and the buffer's owner keeps the slice alive, so the pointer handed out stays valid and unchanged. A
//! [`View`] holds the buffer of a Python object, which keeps its bytes where they are; only read-only ones are taken.
#![allow(unsafe_code)]
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ops::Deref;
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

/// The bytes of a Python object, read in place: `bytes`, a `Slice`, a value inside LMDB's map.
pub struct View {
    buffer: PyBuffer<u8>,
}

impl<'a, 'py> FromPyObject<'a, 'py> for View {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::get(&object)?;
        if !buffer.readonly() || !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("buffer must be read-only and contiguous"));
        }
        Ok(Self { buffer })
    }
}

impl Deref for View {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let length = self.buffer.len_bytes();
        if length == 0 {
            return &[];
        }
        // SAFETY: the buffer is contiguous, holds `length` bytes at `buf_ptr` for as long as `self` does, and is
        // read-only: its exporter promises that nobody writes to it.
        unsafe { std::slice::from_raw_parts(self.buffer.buf_ptr().cast::<u8>(), length) }
    }
}
