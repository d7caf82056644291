// Softmax in CUDA C++: a block of 256 threads computes one row.
//
// A thread visits every 256th element of the row. It keeps the maximum m so far and the sum of
// e^(x - m), rescaled whenever m grows (online softmax), so the row is read twice: once for the
// sum, once for the result.

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

constexpr int kThreads = 256, kWarp = 32;

struct Sum {
  float max, sum;  // largest x, and sum of e^(x - max)
};

// The sum over the elements of both; an empty part has max -inf and sum 0.
__device__ Sum Merge(Sum a, Sum b) {
  float max = fmaxf(a.max, b.max);
  if (max == -INFINITY) return {max, 0.0f};
  return {max, a.sum * expf(a.max - max) + b.sum * expf(b.max - max)};
}

// The sum over the lanes of a warp, known to all of them after five exchanges.
__device__ Sum OverWarp(Sum part) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    part = Merge(part, {__shfl_xor_sync(~0u, part.max, step), __shfl_xor_sync(~0u, part.sum, step)});
  }
  return part;
}

__global__ void Softmax(const float* x, float* y, int64_t d) {
  __shared__ Sum of_warps[kThreads / kWarp];
  x += blockIdx.x * d;
  y += blockIdx.x * d;
  Sum part = {-INFINITY, 0.0f};
  for (int64_t i = threadIdx.x; i < d; i += kThreads) part = Merge(part, {x[i], 1.0f});
  part = OverWarp(part);
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = part;
  __syncthreads();
  Sum row = {-INFINITY, 0.0f};
  for (const Sum& of_warp : of_warps) row = Merge(row, of_warp);
  for (int64_t i = threadIdx.x; i < d; i += kThreads) y[i] = expf(x[i] - row.max) / row.sum;
}

static ffi::Error Launch(cudaStream_t stream, ffi::Buffer<ffi::F32> x,
                         ffi::ResultBuffer<ffi::F32> y) {
  const int64_t d = x.dimensions().back(), rows = x.element_count() / d;
  Softmax<<<rows, kThreads, 0, stream>>>(x.typed_data(), y->typed_data(), d);
  cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? ffi::Error::Success() : ffi::Error::Internal(cudaGetErrorString(error));
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(softmax, Launch,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::PlatformStream<cudaStream_t>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>(),
                              {ffi::Traits::kCmdBufferCompatible});
