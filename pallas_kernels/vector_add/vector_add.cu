// Vector addition in CUDA C++: a thread adds one element.

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

__global__ void Add(const float* x, const float* y, float* z, size_t n) {
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) z[i] = x[i] + y[i];  // the last block extends past the end
}

static ffi::Error Launch(cudaStream_t stream, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::F32> y,
                         ffi::ResultBuffer<ffi::F32> z) {
  const size_t n = z->element_count(), threads = 256;
  Add<<<(n + threads - 1) / threads, threads, 0, stream>>>(x.typed_data(), y.typed_data(),
                                                           z->typed_data(), n);
  cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? ffi::Error::Success() : ffi::Error::Internal(cudaGetErrorString(error));
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(vector_add, Launch,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::PlatformStream<cudaStream_t>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>(),
                              {ffi::Traits::kCmdBufferCompatible});
