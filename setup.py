"""The one part of the build that pyproject.toml cannot say: a compiled helper that may be missing."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "hub.web._send",
            ["hub/web/_send.c"],
            # Without a compiler or Python's headers the hub installs all the same, and writes a little slower.
            optional=True,
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
