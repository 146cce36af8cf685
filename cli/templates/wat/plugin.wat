;; Keeps the longest value; of equally long ones the greatest.
;;
;; `kinfold plugin build` makes the component, `kinfold plugin check` tries the laws on it. The functions are those of the
;; contract after the canonical ABI of the component model.
(module
  ;; 16 pages are enough for ordinary merges; `cabi_realloc` asks for more.
  (memory (export "memory") 16)

  ;; Memory below this is free. The first 64 bytes hold the answer.
  (global $next (mut i32) (i32.const 64))

  ;; Gives a block to the host, for the arguments. Nothing is ever given back: a fresh instance runs every merge.
  (func (export "cabi_realloc")
    (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
    (local $block i32) (local $missing i32)
    (local.set $block
      (i32.and
        (i32.sub (i32.add (global.get $next) (local.get $align)) (i32.const 1))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $block) (local.get $size)))
    (local.set $missing
      (i32.sub (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if
          (i32.eq
            (memory.grow (i32.add (i32.shr_u (local.get $missing) (i32.const 16)) (i32.const 1)))
            (i32.const -1))
          (then unreachable))))
    (memory.copy (local.get $block) (local.get $old) (local.get $old-size))
    (local.get $block))

  ;; Each argument of bytes is an address and a length. A sibling is 24 bytes: at 0 whether it is a value, at 4 the address
  ;; and at 8 the length of its bytes, at 16 its time.
  ;;
  ;; The answer: at 0 whether it is an error; at 4 whether there is a value, or which error it is; at 8 and 12 the address and
  ;; the length of the value, or of the error's words (an invalid sibling has its position before them).
  (func (export "kinfold:merge/resolver@0.1.0#merge")
    (param $bucket i32) (param $bucket-len i32)
    (param $key i32) (param $key-len i32)
    (param $config i32) (param $config-len i32)
    (param $sibling i32) (param $count i32)
    (result i32)
    (local $longest i32)
    (local.set $longest (local.get $sibling))
    ;; They come sorted by their bytes, so of equally long ones the last is the greatest.
    (loop $each
      (if
        (i32.ge_u
          (i32.load offset=8 (local.get $sibling))
          (i32.load offset=8 (local.get $longest)))
        (then (local.set $longest (local.get $sibling))))
      (local.set $sibling (i32.add (local.get $sibling) (i32.const 24)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br_if $each (local.get $count)))
    (i32.store (i32.const 4) (i32.const 1))
    (i32.store (i32.const 8) (i32.load offset=4 (local.get $longest)))
    (i32.store (i32.const 12) (i32.load offset=8 (local.get $longest)))
    (i32.const 0)))
