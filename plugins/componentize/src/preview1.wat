;; A system for modules that think they have one: preview 1 of WASI without a world behind it.
;;
;; The runtimes of some languages (Go's) don't start without these functions. Here nothing can be told from a bare machine that
;; never changes: the clock stands still, chance is always the same, there are no arguments, no environment and no files, and what is
;; written is lost. So a component with this inside imports nothing of a system, and its merges stay a function of their
;; arguments.
;;
;; The official adapter can't be taken: it has the module allocate memory before the module's runtime is up. This one has no memory of
;; its own and allocates none.
(module
  (import "env" "memory" (memory 0))

  ;; Results: 0 is success, 8 a descriptor that is none.

  ;; Nobody reads what is written: all of it counts as written.
  (func (export "fd_write") (param $fd i32) (param $first i32) (param $count i32) (param $written i32) (result i32)
    (local $sum i32)
    (block $end
      (loop $each
        (br_if $end (i32.eqz (local.get $count)))
        (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (local.get $first))))
        (local.set $first (i32.add (local.get $first) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $each)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0))

  ;; One second after the beginning of time, for ever: Go takes no time at all for a fault.
  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $time i32) (result i32)
    (i64.store (local.get $time) (i64.const 1000000000))
    (i32.const 0))
  (func (export "clock_res_get") (param $clock i32) (param $resolution i32) (result i32)
    (i64.store (local.get $resolution) (i64.const 1000000000))
    (i32.const 0))

  (func (export "random_get") (param $bytes i32) (param $len i32) (result i32)
    (memory.fill (local.get $bytes) (i32.const 0x6b) (local.get $len))
    (i32.const 0))

  ;; Neither arguments nor an environment.
  (func $none (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $none))
  (export "environ_sizes_get" (func $none))
  (func $nothing (param i32 i32) (result i32) (i32.const 0))
  (export "args_get" (func $nothing))
  (export "environ_get" (func $nothing))

  (func (export "sched_yield") (result i32) (i32.const 0))
  ;; Waiting takes no time, nothing ever happens, and who waits for something runs out of fuel.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $count i32) (param $events i32) (result i32)
    (i32.store (local.get $events) (i32.const 0))
    (i32.const 0))
  (func (export "proc_exit") (param i32) (unreachable))
  (func (export "proc_raise") (param i32) (result i32) (unreachable))

  ;; There are no descriptors, not even of directories: asking for the first one ends Go's search for them.
  (func $bad_1 (param i32) (result i32) (i32.const 8))
  (export "fd_close" (func $bad_1))
  (export "fd_sync" (func $bad_1))
  (export "fd_datasync" (func $bad_1))
  (func $bad_2 (param i32 i32) (result i32) (i32.const 8))
  (export "fd_fdstat_get" (func $bad_2))
  (export "fd_fdstat_set_flags" (func $bad_2))
  (export "fd_filestat_get" (func $bad_2))
  (export "fd_prestat_get" (func $bad_2))
  (export "fd_renumber" (func $bad_2))
  (export "fd_tell" (func $bad_2))
  (export "sock_shutdown" (func $bad_2))
  (func $bad_3 (param i32 i32 i32) (result i32) (i32.const 8))
  (export "fd_prestat_dir_name" (func $bad_3))
  (export "path_create_directory" (func $bad_3))
  (export "path_remove_directory" (func $bad_3))
  (export "path_unlink_file" (func $bad_3))
  (export "sock_accept" (func $bad_3))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func $bad_5 (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (export "path_filestat_get" (func $bad_5))
  (export "path_symlink" (func $bad_5))
  (export "sock_send" (func $bad_5))
  (func $bad_6 (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (export "path_readlink" (func $bad_6))
  (export "path_rename" (func $bad_6))
  (export "sock_recv" (func $bad_6))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func $bad_at (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (export "fd_pread" (func $bad_at))
  (export "fd_pwrite" (func $bad_at))
  (export "fd_readdir" (func $bad_at))
  (func $bad_range (param i32 i64 i64) (result i32) (i32.const 8))
  (export "fd_allocate" (func $bad_range))
  (export "fd_fdstat_set_rights" (func $bad_range))
  (func $bad_range_flags (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (export "fd_advise" (func $bad_range_flags))
  (export "fd_filestat_set_times" (func $bad_range_flags))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8)))
