//! CPU time and memory of this process. Both are 0 on a system without `/proc`.

/// As in a production host (docs/performance.md).
#[cfg(not(feature = "count"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "count")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

#[path = "../../../benches/common/os.rs"]
mod os;

fn own() -> u32 {
    std::process::id()
}

/// The CPU time so far, in nanoseconds.
pub fn cpu() -> u64 {
    os::cpu_nanos(own()).unwrap_or_default()
}

/// The resident memory, in bytes.
pub fn resident() -> u64 {
    os::resident_bytes(own()).unwrap_or_default()
}

/// The highest resident memory so far, in bytes.
pub fn peak() -> u64 {
    os::peak_bytes(own()).unwrap_or_default()
}

/// The bytes that are allocated at this moment, with the feature `count`.
#[cfg(feature = "count")]
pub fn allocated() -> Option<u64> {
    let stats = ALLOCATOR.stats();
    // `bytes_allocated` has what a reallocation adds.
    u64::try_from(stats.bytes_allocated.checked_sub(stats.bytes_deallocated)?).ok()
}

#[cfg(not(feature = "count"))]
pub fn allocated() -> Option<u64> {
    None
}
