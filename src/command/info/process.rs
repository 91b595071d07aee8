//! Sections about the process: what it is, who is connected, what it takes.

use std::sync::atomic::Ordering;

use super::usage::{Memory, difference, ratio};
use super::{Page, human};
use crate::clock;
use crate::command::Outcome;
use crate::command::connection::REDIS_VERSION;
use crate::metrics::process::Processor;

pub(super) fn server(page: &mut Page<'_, '_, '_>) -> Outcome {
    let server = page.ctx.server;
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let uptime_s = server.uptime_ms(clock::monotonic()) / 1000;
    let now_us = clock::unix_us();
    page.field("redis_version", REDIS_VERSION);
    page.field("ringstone_version", env!("CARGO_PKG_VERSION"));
    page.field("redis_git_sha1", "00000000");
    page.field("redis_git_dirty", 0);
    page.field("redis_build_id", 0);
    page.field("redis_mode", "standalone");
    let os = [system.sysname(), system.release(), system.machine()].map(text);
    let shown = if page.is_whole() { &os[..] } else { &os[..1] };
    page.field("os", shown.join(" "));
    page.field("arch_bits", usize::BITS);
    page.field("monotonic_clock", "POSIX clock_gettime");
    page.field("multiplexing_api", "io_uring");
    page.field("process_id", if page.is_whole() { std::process::id() } else { 0 });
    page.field("process_supervised", "no");
    page.field("run_id", &server.run_id);
    let ports = [&server.port, &server.tls_port].map(|port| port.load(Ordering::Relaxed));
    page.field("tcp_port", ports.into_iter().find(|port| *port != 0).unwrap_or(0));
    page.field("server_time_usec", now_us);
    page.field("uptime_in_seconds", uptime_s);
    page.field("uptime_in_days", uptime_s / 86_400);
    page.field("hz", 10);
    page.field("configured_hz", 10);
    page.field("lru_clock", (now_us / 1_000_000) & 0xff_ffff);
    let executable = std::env::current_exe().ok().filter(|_| page.is_whole());
    page.field("executable", executable.unwrap_or_default().display());
    page.field("config_file", "");
    page.field("io_threads_active", u8::from(server.config.workers > 1));
    Ok(())
}

pub(super) fn clients(page: &mut Page<'_, '_, '_>) -> Outcome {
    let server = page.ctx.server;
    let [connected, blocked, limited, keys] = match page.is_whole() {
        true => {
            let blocked = &server.blocked;
            let [clients, limited, keys] = [&blocked.clients, &blocked.limited, &blocked.keys]
                .map(|count| count.load(Ordering::Relaxed));
            [server.clients_len(), server.pause.held() + clients, limited, keys]
        }
        false => {
            let clients = server.clients_seen_by(page.ctx.client);
            let blocked = clients.iter().filter(|client| client.wait().is_some());
            [clients.len(), blocked.count(), 0, 0]
        }
    };
    page.field("connected_clients", connected);
    page.field("cluster_connections", 0);
    page.field("maxclients", server.config.maxclients);
    let held = page.held();
    // Of this moment; Redis has the largest it has seen within some seconds.
    page.field("client_recent_max_input_buffer", held.input_max);
    page.field("client_recent_max_output_buffer", held.output_max);
    page.field("blocked_clients", blocked);
    page.field("tracking_clients", 0);
    page.field("clients_in_timeout_table", limited);
    // Redis has these from 7.2 on.
    page.field("total_blocking_keys", keys);
    page.field("total_blocking_keys_on_nokey", 0);
    Ok(())
}

pub(super) fn memory(page: &mut Page<'_, '_, '_>) -> Outcome {
    let memory = match page.is_whole() {
        true => Memory::read(page.ctx.server),
        false => Memory::default(),
    };
    page.bytes("used_memory", memory.used);
    page.bytes("used_memory_rss", memory.resident);
    page.bytes("used_memory_peak", memory.peak);
    page.field("used_memory_peak_perc", format_args!("{:.2}%", memory.peak_percent()));
    page.fields(&[
        ("used_memory_overhead", memory.overhead()),
        ("used_memory_startup", memory.startup),
        ("used_memory_dataset", memory.dataset),
    ]);
    page.field("used_memory_dataset_perc", format_args!("{:.2}%", memory.dataset_percent()));
    page.fields(&[
        ("allocator_allocated", memory.used),
        ("allocator_active", memory.used),
        ("allocator_resident", memory.own_resident),
    ]);
    page.bytes("total_system_memory", memory.system);
    scripts(page);
    page.bytes("maxmemory", 0);
    page.field("maxmemory_policy", "noeviction");
    fragmentation(page, &memory);
    page.zeros(&[
        "mem_not_counted_for_evict",
        "mem_replication_backlog",
        "mem_total_replication_buffers",
        "mem_clients_slaves",
    ]);
    let clients_bytes = page.held().total;
    page.field("mem_clients_normal", clients_bytes);
    page.zeros(&["mem_cluster_links", "mem_aof_buffer"]);
    page.field("mem_allocator", "mimalloc");
    page.zeros(&["active_defrag_running", "lazyfree_pending_objects", "lazyfreed_objects"]);
    Ok(())
}

/// There are no scripts and no functions.
fn scripts(page: &mut Page<'_, '_, '_>) {
    page.zeros(&["used_memory_lua", "used_memory_vm_eval"]);
    page.field("used_memory_lua_human", human(0));
    page.zeros(&[
        "used_memory_scripts_eval",
        "number_of_cached_scripts",
        "number_of_functions",
        "number_of_libraries",
        "used_memory_vm_functions",
    ]);
    page.bytes("used_memory_vm_total", 0);
    page.field("used_memory_functions", 0);
    page.bytes("used_memory_scripts", 0);
}

fn fragmentation(page: &mut Page<'_, '_, '_>, memory: &Memory) {
    let Memory { used, own_resident, resident, .. } = *memory;
    for (name, ratio_name, one, other) in [
        ("allocator_frag_bytes", "allocator_frag_ratio", used, used),
        ("allocator_rss_bytes", "allocator_rss_ratio", own_resident, used),
        ("rss_overhead_bytes", "rss_overhead_ratio", resident, own_resident),
        ("mem_fragmentation_bytes", "mem_fragmentation_ratio", resident, used),
    ] {
        page.field(ratio_name, format_args!("{:.2}", ratio(one, other)));
        page.field(name, difference(one, other));
    }
}

pub(super) fn cpu(page: &mut Page<'_, '_, '_>) -> Outcome {
    let [all, busiest] = match page.is_whole() {
        true => [Processor::of_process(), Processor::of_busiest_worker()],
        false => [Processor::default(); 2],
    };
    for (name, seconds) in [
        ("used_cpu_sys", all.system_s),
        ("used_cpu_user", all.user_s),
        ("used_cpu_sys_children", 0.0),
        ("used_cpu_user_children", 0.0),
        ("used_cpu_sys_main_thread", busiest.system_s),
        ("used_cpu_user_main_thread", busiest.user_s),
    ] {
        page.field(name, format_args!("{seconds:.6}"));
    }
    Ok(())
}
