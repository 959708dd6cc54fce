"""Where the engine meets numba: what compiles its functions, and where the compiled code is kept.

Compiled once for a version of these sources, of Python and of numba, then loaded. With `NUMBA_DISABLE_JIT=1` the
same functions run as plain Python, slowly.

A `State`, and other `Records`, are handed over as one address, of a list of addresses of their arrays. Passed as
arrays, each call would copy some two hundred numbers and count references: twenty times slower, and four times as long
to compile.
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
from llvmlite.binding import Linkage
from numba import types
from numba.core import cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.dispatcher import Dispatcher
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

from simulator.engine.vllm.state import Records

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True}


class _Part(JITCodeLibrary):
    """A function that waits, as it was written down, to become part of an entry.

    Left to itself numba makes machine code of it and of all it calls, and again of what calls it: of what lies deepest
    as often as there are functions above.
    """

    def finalize(self):
        self._finalized = True

    def get_pointer_to_function(self, _name):
        return 0

    @property
    def codegen(self):
        # Of which only this is asked.
        return self

    def set_env(self, _name, _env):
        pass


class _Whole(JITCodeLibrary):
    """An entry and all that it calls, of which machine code is made at once.

    Nothing but the entry is called from elsewhere, so what is called in one place can become part of that.
    """

    def finalize(self):
        found = self._linking_libraries
        for library in found:
            if isinstance(library, _Part):
                found.extend(one for one in library._linking_libraries if one not in found)
        super().finalize()

    def _optimize_final_module(self):
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        # Once, where numba does it twice for the sake of references, of which none are counted here.
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)


def _compiler(kind: type[JITCodeLibrary]) -> type[Compiler]:
    class Made(Compiler):
        def compile_extra(self, function):
            code = self.state["library"] = kind(self.state.targetctx.codegen(), function.__qualname__)
            code.enable_object_caching()
            return super().compile_extra(function)

    return Made


_OF_PART, _OF_WHOLE = _compiler(_Part), _compiler(_Whole)


def compiled(function: Function) -> Function:
    """Compile a function that only compiled functions call."""
    inner: Function = numba.njit(no_cpython_wrapper=True, pipeline_class=_OF_PART, **_OPTIONS)(function)
    return inner


def entry(function: Function) -> Function:
    """Compile a function that Python calls, and keep the result for the next process."""
    if "NUMBA_CACHE_DIR" not in os.environ:
        numba.config.CACHE_DIR = _cache_folder()  # type: ignore[attr-defined]
    outer: Function = numba.njit(cache=True, pipeline_class=_OF_WHOLE, **_OPTIONS)(function)
    return outer


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether an earlier process has left the compiled code of an `entry`."""
    cache = getattr(function, "_cache", None)
    return cache is None or os.path.isfile(cache._cache_file._index_path)


@cache
def machine_code(function: Function, state: type[Records], *arguments: Any) -> Function:  # noqa: ANN401 - numba's types
    """The machine code of an entry, for what is called at every request.

    A call of the entry itself has numba find out anew what its arguments are, which takes as long as all the rest.
    """
    if not isinstance(function, Dispatcher):
        return function
    types_ = StateType(state), *arguments
    function.compile(types_)
    made: Function = function.overloads[types_].entry_point  # type: ignore[attr-defined]
    return made


@cache
def _cache_folder() -> str:
    """A folder of the user's own for this version of the engine: what lies in it is loaded as code.

    numba looks only at the file of an entry to tell whether it changed, so the folder is named after the content of
    all of them. Where nobody else can be kept out, it is a new one that goes with this process.
    """
    digest = sha256(numba.__version__.encode())
    for room in ("", ".vllm", ".operations", ".api", ".routing"):
        for source in sorted(resources.files(f"simulator.engine{room}").iterdir(), key=lambda source: source.name):
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
    """Records, as the address of their `header`."""

    def __init__(self, layout: type[Records]) -> None:
        self.layout = layout
        super().__init__(name=layout.__name__)


class ListType(types.Type):
    """Several of the same `Records` in others, as the address of their entry in the header of those."""

    def __init__(self, layout: type[Records]) -> None:
        self.layout = layout
        super().__init__(name=f"ListOf({layout.__name__})")


class ArrayType(types.Type):
    """An array of `Records`, as the address of its entry in the header."""

    def __init__(self, dtype: types.Type, ndim: int) -> None:
        self.dtype = dtype
        self.ndim = ndim
        super().__init__(name=f"ArrayOfState({dtype}, {ndim})")


register_model(StateType)(models.OpaqueModel)
register_model(ArrayType)(models.OpaqueModel)
register_model(ListType)(models.OpaqueModel)


@typeof_impl.register(Records)
def _typeof(state, _context):
    return StateType(type(state))


@unbox(StateType)
def _unbox(_type, state, c):
    address = c.pyapi.object_getattr_string(state, "address")
    pointer = c.builder.inttoptr(c.pyapi.long_as_longlong(address), cgutils.voidptr_t)
    c.pyapi.decref(address)
    return NativeValue(pointer)


@infer_getattr
class _Attributes(AttributeTemplate):
    key = StateType

    def generic_resolve(self, state, name):
        dtype, ndim = state.layout.arrays[name]
        return ListType(dtype) if isinstance(dtype, type) else ArrayType(from_dtype(dtype), ndim)


@lower_getattr_generic(StateType)
def _attribute(_context, builder, state, header, name):
    return builder.gep(header, [ir.Constant(ir.IntType(64), 24 * list(state.layout.arrays).index(name))])


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args, _kws):
        array, index = args
        if isinstance(array, ArrayType):
            return signature(array.dtype, array, _index_type(index))
        if isinstance(array, ListType):
            return signature(StateType(array.layout), array, types.intp)
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


_WORD = ir.IntType(64)


def _load(builder, address, number):
    """A word behind an address; neither addresses nor extents change while compiled code runs."""
    words = builder.bitcast(address, _WORD.as_pointer())
    loaded = builder.load(builder.gep(words, [number]))
    loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return loaded


def _element(context, builder, array, entry_, index):
    """Address of an element: the entry holds the array's address and its second and third extents."""

    def load(number):
        return _load(builder, entry_, ir.Constant(_WORD, number))

    if array.ndim == 1:
        place = index
    else:
        place, *rest = cgutils.unpack_tuple(builder, index)
        for number, following in enumerate(rest, 1):
            place = builder.add(builder.mul(place, load(number)), following)
    data_type = context.get_data_type(array.dtype)
    if isinstance(array.dtype, types.Record):
        size = ir.Constant(_WORD, array.dtype.size)
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


@lower_builtin(operator.getitem, ListType, types.intp)
def _get_records(_context, builder, _sig, args):
    entry_, index = args
    addresses = builder.inttoptr(_load(builder, entry_, ir.Constant(_WORD, 0)), cgutils.voidptr_t)
    return builder.inttoptr(_load(builder, addresses, index), cgutils.voidptr_t)


@lower_builtin(operator.setitem, ArrayType, types.intp, types.Any)
@lower_builtin(operator.setitem, ArrayType, types.UniTuple, types.Any)
def _set(context, builder, sig, args):
    array = sig.args[0]
    pointer = _element(context, builder, array, *args[:2])
    context.pack_value(builder, array.dtype, args[2], pointer)
    return context.get_dummy_value()
