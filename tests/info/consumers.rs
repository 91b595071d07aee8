//! What the parsers of redis_exporter, Datadog's agent, Telegraf and RedisInsight look for.

use super::RINGSTONE;
use super::common::{Options, Server, Subject};
use super::page::Page;

/// Fields they take for numbers, where Redis 7.0 has them.
const NUMBERS: &str = "
    uptime_in_seconds process_id io_threads_active hz configured_hz lru_clock arch_bits tcp_port
    uptime_in_days
    connected_clients blocked_clients maxclients tracking_clients clients_in_timeout_table
    cluster_connections client_recent_max_input_buffer client_recent_max_output_buffer
    total_blocking_keys total_blocking_keys_on_nokey
    allocator_active allocator_allocated allocator_resident allocator_frag_ratio
    allocator_frag_bytes allocator_rss_ratio allocator_rss_bytes rss_overhead_ratio
    rss_overhead_bytes used_memory used_memory_rss used_memory_peak used_memory_peak_perc
    used_memory_lua used_memory_vm_eval used_memory_scripts_eval used_memory_overhead
    used_memory_startup used_memory_dataset used_memory_dataset_perc number_of_cached_scripts
    number_of_functions number_of_libraries used_memory_vm_functions used_memory_scripts
    used_memory_functions used_memory_vm_total maxmemory total_system_memory
    mem_fragmentation_ratio mem_fragmentation_bytes mem_clients_slaves mem_clients_normal
    mem_cluster_links mem_aof_buffer mem_replication_backlog mem_not_counted_for_evict
    mem_total_replication_buffers lazyfree_pending_objects lazyfreed_objects
    active_defrag_running
    loading async_loading rdb_changes_since_last_save rdb_bgsave_in_progress
    rdb_last_save_time rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_saves
    rdb_last_cow_size rdb_last_load_keys_expired rdb_last_load_keys_loaded aof_enabled
    aof_rewrite_in_progress aof_rewrite_scheduled aof_last_rewrite_time_sec
    aof_current_rewrite_time_sec aof_last_cow_size module_fork_in_progress
    module_fork_last_cow_size
    total_connections_received total_commands_processed instantaneous_ops_per_sec
    instantaneous_input_kbps instantaneous_output_kbps rejected_connections
    total_net_input_bytes total_net_output_bytes total_net_repl_input_bytes
    total_net_repl_output_bytes expired_keys expired_stale_perc expired_time_cap_reached_count
    expire_cycle_cpu_milliseconds evicted_keys evicted_clients total_eviction_exceeded_time
    current_eviction_exceeded_time keyspace_hits keyspace_misses pubsub_channels
    pubsub_patterns pubsubshard_channels latest_fork_usec migrate_cached_sockets
    slave_expires_tracked_keys active_defrag_hits active_defrag_misses active_defrag_key_hits
    active_defrag_key_misses tracking_total_keys tracking_total_items tracking_total_prefixes
    unexpected_error_replies total_error_replies dump_payload_sanitizations
    total_reads_processed total_writes_processed io_threaded_reads_processed
    io_threaded_writes_processed reply_buffer_shrinks reply_buffer_expands
    connected_slaves repl_backlog_size repl_backlog_active repl_backlog_first_byte_offset
    repl_backlog_histlen master_repl_offset second_repl_offset sync_full sync_partial_ok
    sync_partial_err
    used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children
    used_cpu_sys_main_thread used_cpu_user_main_thread cluster_enabled
";

/// Further ones where a log is kept.
const NUMBERS_OF_LOG: &str = "
    aof_current_size aof_base_size aof_pending_rewrite aof_buffer_length aof_pending_bio_fsync
    aof_delayed_fsync
";

/// Fields they compare with words, and these.
const WORDS: [(&str, &str); 8] = [
    ("redis_version", "7.0.15"),
    ("redis_mode", "standalone"),
    ("role", "master"),
    ("maxmemory_policy", "noeviction"),
    ("rdb_last_bgsave_status", "ok"),
    ("aof_last_bgrewrite_status", "ok"),
    ("aof_last_write_status", "ok"),
    ("master_failover_state", "no-failover"),
];

/// Fields they make labels of, or show.
const TEXTS: &str = "
    redis_build_id os run_id master_replid mem_allocator multiplexing_api executable
    used_memory_human used_memory_peak_human maxmemory_human
";

/// Newer than Redis 7.0.
const NEWER: [&str; 2] = ["total_blocking_keys", "total_blocking_keys_on_nokey"];

#[test]
fn every_field_that_consumers_read_is_there() {
    let mut subjects = RINGSTONE.to_vec();
    subjects.push(Subject::Redis);
    for subject in subjects {
        let options = Options { redis_durable: true, ..Options::default() };
        let server = Server::start_with(subject, &options);
        let mut conn = server.connect();
        for line in ["SET k v", "SET t v EX 100", "GET k", "GET", "INCR k"] {
            conn.command(line);
        }
        let page = Page::ask(&mut conn, "all");
        let mut numbers: Vec<_> = NUMBERS.split_whitespace().collect();
        numbers.retain(|name| subject.is_ringstone() || !NEWER.contains(name));
        if page.number("aof_enabled") == 1.0 {
            numbers.extend(NUMBERS_OF_LOG.split_whitespace());
        }
        for name in numbers {
            let number = page.number(name);
            assert!(number >= -1.0 || name.ends_with("_bytes"), "{subject:?} {name}:{number}");
        }
        for (name, word) in WORDS {
            assert_eq!(page.text(name), word, "{subject:?} {name}");
        }
        for name in TEXTS.split_whitespace() {
            assert!(!page.text(name).is_empty(), "{subject:?} {name}");
        }
        lines_of_many(&page);
    }
}

/// Lines of which there may be many, as the parsers take them apart.
fn lines_of_many(page: &Page) {
    let parts = |name: &str| -> Vec<String> {
        let parts = page.text(name).split(',');
        parts.map(|part| part.split_once('=').unwrap().0.to_owned()).collect()
    };
    assert_eq!(parts("db0"), ["keys", "expires", "avg_ttl"]);
    let of_command = ["calls", "usec", "usec_per_call", "rejected_calls", "failed_calls"];
    for name in page.names("Commandstats") {
        assert!(name.starts_with("cmdstat_"), "{name}");
        assert_eq!(parts(&name), of_command, "{name}");
        of_command.iter().for_each(|part| assert!(page.part(&name, part) >= 0.0, "{name}"));
    }
    for name in page.names("Latencystats") {
        assert!(name.starts_with("latency_percentiles_usec_"), "{name}");
        assert_eq!(parts(&name), ["p50", "p99", "p99.9"], "{name}");
        let [half, most, nearly_all] = ["p50", "p99", "p99.9"].map(|part| page.part(&name, part));
        assert!(half <= most && most <= nearly_all, "{name}");
        let decimals =
            page.text(&name).split(',').map(|part| part.rsplit('.').next().unwrap().len());
        assert!(decimals.into_iter().all(|decimals| decimals == 3), "{}", page.text(&name));
    }
    for name in page.names("Errorstats") {
        assert!(name.starts_with("errorstat_") && page.part(&name, "count") > 0.0, "{name}");
    }
    assert_eq!(page.part("errorstat_ERR", "count"), 2.0);
    assert_eq!(page.part("latency_percentiles_usec_nosuch", "p50"), 0.0);
}
