//! A core's [`Problem`] as the exception that Python's registry, `sprawl.errors`, has for its code.
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use sprawl_core::problem::Problem;

/// The exception for `problem`; `sprawl.errors` is imported at the first one. Needs to be called with the interpreter.
pub fn to_py(problem: Problem) -> PyErr {
    static ERROR_FOR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Python::attach(|py| {
        let made = ERROR_FOR.import(py, "sprawl.errors", "error_for").and_then(|error_for| {
            let members = PyDict::new(py);
            if !problem.cursor.is_empty() {
                members.set_item("cursor", problem.cursor)?;
            }
            let kwargs = PyDict::new(py);
            kwargs.set_item("members", members)?;
            error_for.call((problem.code.as_str(), problem.detail, problem.location), Some(&kwargs))
        });
        match made {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    })
}
