"""What torch and triton may be used for outside a kernel: allocate, view, copy, pad, query, hold parameters.

Limits: lists of names, by path; which tensor operators really run is audited by the judge at run time.
"""

from evaluators.screening.source import words


def _under(prefix: str, names: str) -> frozenset[str]:
    return frozenset(f"{prefix}.{name}" for name in names.split())


# values: what is asked of one is no call of the library (`torch.float32.itemsize`, `triton.__version__.split(".")`)
CONSTANTS = _under(
    "torch",
    "float float16 float32 float64 half double bfloat16 int int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
    "long short bool cfloat complex64 complex128 float8_e4m3fn float8_e5m2 float8_e4m3fnuz "
    "float8_e5m2fnuz float8_e8m0fnu __version__",
) | {"triton.__version__"}
TORCH = (
    CONSTANTS
    | _under(
        "torch",
        # types and constants
        "Tensor FloatTensor HalfTensor device dtype Size layout memory_format finfo iinfo Generator Type "
        "strided contiguous_format channels_last channels_last_3d preserve_format pi inf nan e "
        # allocation
        "empty empty_like empty_strided zeros zeros_like ones ones_like full full_like tensor as_tensor "
        "scalar_tensor arange rand randn randint rand_like randn_like "
        # layout and copies
        "reshape permute transpose t as_strided flatten unflatten ravel squeeze unsqueeze movedim moveaxis swapaxes "
        "swapdims narrow select split chunk tensor_split unbind view_as_real view_as_complex broadcast_to "
        "broadcast_tensors broadcast_shapes atleast_1d atleast_2d atleast_3d flip fliplr flipud roll rot90 cat "
        "concat concatenate stack diagonal select_scatter slice_scatter pixel_shuffle channel_shuffle hstack "
        "vstack dstack tile repeat_interleave clone detach index_select gather "
        "constant_pad_nd "
        # queries
        "is_tensor is_floating_point is_complex numel is_grad_enabled get_default_dtype result_type promote_types "
        "can_cast is_autocast_enabled version _assert "
        # comparison and digests to one number: how a cache of rearranged weights notices a change
        "equal eq ne sum any all amax amin hash_tensor "
        # gradient mode
        "no_grad inference_mode enable_grad set_grad_enabled",
    )
    | _under(
        "torch.cuda",
        "is_available current_device get_device_properties get_device_capability get_device_name device_count "
        "current_stream device device_of synchronize amp.custom_fwd amp.custom_bwd",
    )
    | _under("torch.amp", "custom_fwd custom_bwd")
    | _under("torch.autograd", "Function function.once_differentiable function.FunctionCtx")
    | _under("torch.compiler", "is_compiling disable")
    | _under("torch.jit", "ignore unused is_scripting is_tracing")
    | _under("torch.nn", "functional.pad Parameter UninitializedParameter parameter.Parameter")
    | _under("torch.utils.cpp_extension", "load_inline")
)
TORCH_PREFIXES = ("torch.nn.init.", "torch.version.", "torch.backends.", "torch.nn.modules.utils.")
INIT_MATHS = _under(
    "torch",
    "sqrt rsqrt exp log log2 pow square abs neg add sub mul div prod sum mean std eye linspace logspace outer "
    "floor ceil round clamp maximum minimum max min normal manual_seed",
)
TRITON = words(
    "triton.jit triton.autotune triton.heuristics triton.Config triton.cdiv triton.next_power_of_2 "
    "triton.reinterpret triton.set_allocator triton.__version__ triton.constexpr_function "
    "triton.tools.tensor_descriptor.TensorDescriptor "
    "triton.language triton.experimental triton.runtime triton.runtime.driver triton.tools"
)
TRITON_PREFIXES = ("triton.language.", "triton.experimental.gluon", "triton.runtime.driver.", "triton.tools.tensor_")
MOVING_LAYERS = _under(
    "torch.nn",
    "Identity Flatten Unflatten PixelShuffle PixelUnshuffle ChannelShuffle ZeroPad1d ZeroPad2d ZeroPad3d "
    "ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d "
    "ReplicationPad1d ReplicationPad2d ReplicationPad3d CircularPad1d CircularPad2d CircularPad3d",
)
CONTAINERS = _under("torch.nn", "Module ModuleList ModuleDict Sequential ParameterList ParameterDict")

TENSOR_METHODS = words(
    "matmul mm bmm addmm addmm_ addbmm baddbmm mv addmv addr outer inner tensordot einsum __matmul__ __rmatmul__ "
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d "
    "softmax log_softmax relu relu_ sigmoid sigmoid_ tanh tanh_ logsumexp cumsum cumprod "
    "mul mul_ multiply div div_ true_divide add_ sub_ addcmul addcmul_ addcdiv scatter_add scatter_add_ "
    "scatter_reduce index_add index_add_ mean var std norm exp exp_ sqrt sqrt_ rsqrt pow lerp"
)


def is_allowed(path: str) -> bool:
    """Whether a torch or triton name may be used outside a kernel (`torch.nn.Conv3d` only holds parameters)."""
    if path.rpartition(".")[0] in CONSTANTS:
        return True
    if path.startswith("triton."):
        return path in TRITON or path.startswith(TRITON_PREFIXES)
    return path in TORCH or path.startswith(TORCH_PREFIXES) or is_layer(path)


def is_layer(path: str) -> bool:
    """`torch.nn.Name` with a capital: a class that may be constructed to hold parameters and never be called."""
    head, _, name = path.rpartition(".")
    in_nn = head == "torch.nn" or head.startswith("torch.nn.modules")
    return in_nn and name[:1].isupper() and not name.startswith("Parameter")


def is_library_op(path: str, allowed: tuple[str, ...]) -> bool:
    """Whether the problem lets this library operator stand: `aten::conv3d`, `torch.conv3d`, `Conv3d` are one."""
    return _bare(path) in {_bare(name) for name in allowed}


def _bare(name: str) -> str:
    last = (
        name.replace("::", ".").replace("()", "").removesuffix(".forward").removesuffix(".default").rsplit(".", 1)[-1]
    )
    return last.replace("_", "").lower()
