"""Where the engine meets numba: what compiles its functions, and where the compiled code is kept.

Compiled once for a version of these sources, of Python and of numba, then loaded. With `NUMBA_DISABLE_JIT=1` the
same functions run as plain Python, slowly.

A `State` is handed over as one address, of a list of addresses of its arrays. Passed as arrays, each call would copy
some two hundred numbers and count references: twenty times slower, and four times as long to compile.
"""
# mypy: disable-error-code="no-untyped-call, no-untyped-def, misc, call-overload, override"

from __future__ import annotations

import atexit
import operator
import os
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import (
    NativeValue,
    lower_builtin,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np.numpy_support import from_dtype

from simulator.engine.vllm.state import ARRAYS, State

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True}


def compiled(function: Function) -> Function:
    """Compile a function that only compiled functions call."""
    inner: Function = numba.njit(no_cpython_wrapper=True, **_OPTIONS)(function)
    return inner


def entry(function: Function) -> Function:
    """Compile a function that Python calls, and keep the result for the next process."""
    if "NUMBA_CACHE_DIR" not in os.environ:
        numba.config.CACHE_DIR = _cache_folder()  # type: ignore[attr-defined]
    outer: Function = numba.njit(cache=True, **_OPTIONS)(function)
    return outer


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether an earlier process has left the compiled code of an `entry`."""
    cache = getattr(function, "_cache", None)
    return cache is None or os.path.isfile(cache._cache_file._index_path)


@cache
def _cache_folder() -> str:
    """A folder of the user's own for this version of the engine: what lies in it is loaded as code.

    numba looks only at the file of an entry to tell whether it changed, so the folder is named after the content of
    all of them. Where nobody else can be kept out, it is a new one that goes with this process.
    """
    digest = sha256(numba.__version__.encode())
    for room in ("simulator.engine", "simulator.engine.vllm"):
        for source in sorted(resources.files(room).iterdir(), key=lambda source: source.name):
            if source.name.endswith(".py"):
                digest.update(source.read_bytes())
    engine = f"engine-{digest.hexdigest()[:16]}"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        user = ""
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        user = f"-{os.geteuid()}"
    for root, name in ((base, "llm-hosting-simulator"), (tempfile.gettempdir(), f"llm-hosting-simulator{user}")):
        if root and _is_own(root, name, engine):
            return os.path.join(root, name, engine)
    folder = tempfile.mkdtemp(prefix="llm-hosting-simulator-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # Processes that this one starts need not compile again.
    os.environ["NUMBA_CACHE_DIR"] = folder
    return folder


def _is_own(root: str, *names: str) -> bool:
    """Whether these folders, each in the one before, are there or can be made, and nobody else can write to them."""
    folder = root
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        for name in names:
            folder = os.path.join(folder, name)
            with suppress(FileExistsError):
                os.mkdir(folder, mode=0o700)
            known = os.lstat(folder)
            if not stat.S_ISDIR(known.st_mode):
                return False
            if sys.platform != "win32" and (known.st_uid != os.geteuid() or known.st_mode & 0o022):
                return False
    except OSError:
        return False
    return os.access(folder, os.W_OK)


class StateType(types.Type):
    """A `State`, as the address of its `header`."""

    def __init__(self) -> None:
        super().__init__(name="State")


class ArrayType(types.Type):
    """An array of a `State`, as the address of its entry in the header."""

    def __init__(self, dtype: types.Type, ndim: int) -> None:
        self.dtype = dtype
        self.ndim = ndim
        super().__init__(name=f"ArrayOfState({dtype}, {ndim})")


register_model(StateType)(models.OpaqueModel)
register_model(ArrayType)(models.OpaqueModel)


@typeof_impl.register(State)
def _typeof(_state, _context):
    return StateType()


@unbox(StateType)
def _unbox(_type, state, c):
    address = c.pyapi.object_getattr_string(state, "address")
    pointer = c.builder.inttoptr(c.pyapi.long_as_longlong(address), cgutils.voidptr_t)
    c.pyapi.decref(address)
    return NativeValue(pointer)


@infer_getattr
class _Attributes(AttributeTemplate):
    key = StateType

    def generic_resolve(self, _type, name):
        dtype, ndim = ARRAYS[name]
        return ArrayType(from_dtype(dtype), ndim)


@lower_getattr_generic(StateType)
def _attribute(_context, builder, _type, header, name):
    return builder.gep(header, [ir.Constant(ir.IntType(64), 24 * list(ARRAYS).index(name))])


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args, _kws):
        array, index = args
        if isinstance(array, ArrayType):
            return signature(array.dtype, array, _index_type(index))
        return None


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args, _kws):
        array, index, _value = args
        if isinstance(array, ArrayType):
            return signature(types.none, array, _index_type(index), array.dtype)
        return None


def _index_type(index):
    return types.UniTuple(types.intp, len(index)) if isinstance(index, types.BaseTuple) else types.intp


def _element(context, builder, array, entry_, index):
    """Address of an element: the entry holds the array's address and its second and third extents."""
    word = ir.IntType(64)
    words = builder.bitcast(entry_, word.as_pointer())

    def load(number):
        loaded = builder.load(builder.gep(words, [ir.Constant(word, number)]))
        # Neither addresses nor extents change while compiled code runs.
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    if array.ndim == 1:
        place = index
    else:
        place, *rest = cgutils.unpack_tuple(builder, index)
        for number, following in enumerate(rest, 1):
            place = builder.add(builder.mul(place, load(number)), following)
    data_type = context.get_data_type(array.dtype)
    if isinstance(array.dtype, types.Record):
        size = ir.Constant(word, array.dtype.size)
        return builder.inttoptr(builder.add(load(0), builder.mul(place, size)), data_type.as_pointer())
    return builder.gep(builder.inttoptr(load(0), data_type.as_pointer()), [place])


@lower_builtin(operator.getitem, ArrayType, types.intp)
@lower_builtin(operator.getitem, ArrayType, types.UniTuple)
def _get(context, builder, sig, args):
    array = sig.args[0]
    pointer = _element(context, builder, array, *args)
    if isinstance(array.dtype, types.Record):
        return builder.bitcast(pointer, context.get_value_type(array.dtype))
    return context.unpack_value(builder, array.dtype, pointer)


@lower_builtin(operator.setitem, ArrayType, types.intp, types.Any)
@lower_builtin(operator.setitem, ArrayType, types.UniTuple, types.Any)
def _set(context, builder, sig, args):
    array = sig.args[0]
    pointer = _element(context, builder, array, *args[:2])
    context.pack_value(builder, array.dtype, args[2], pointer)
    return context.get_dummy_value()
