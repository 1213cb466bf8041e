//! `sprawl._native`: Python bindings of `sprawl-core`, one file per class, no logic.
use pyo3::prelude::*;

mod routing;

#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::routing::register(module)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
