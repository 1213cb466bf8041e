"""Checks what a wheel holds: both extensions, a stub for each, ``py.typed``, the bill of materials, and no sources."""

import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = wheel.namelist()

problems = [
    f"{name} belongs to the sdist only"
    for name in names
    if name.endswith((".pyx", ".pxd", ".c", ".rs", ".toml"))
]
problems += [
    f"{name} is not part of the package"
    for name in names
    if not name.startswith(("sprawl/", "sprawl_node-"))
]
compiled = [name.partition(".")[0] for name in names if name.endswith(".so")]
problems += [f"{module} has no stub" for module in compiled if f"{module}.pyi" not in names]
if "sprawl/_native" not in compiled:
    problems.append("the native extension is missing")
if not any(module.startswith("sprawl/_hot/") for module in compiled):
    problems.append("the Cython extensions are missing")
if "sprawl/py.typed" not in names:
    problems.append("sprawl/py.typed is missing")
if not any(".dist-info/sboms/" in name for name in names):
    problems.append("the native part's bill of materials is missing")
if problems:
    sys.exit("\n".join(problems))
print(
    f"{len(names)} files, {len(compiled)} extensions with their stubs, nothing that belongs to the sdist only"
)
