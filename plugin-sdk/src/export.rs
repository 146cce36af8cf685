//! The macro that makes a component of a [`Resolver`](crate::Resolver).

/// Exports a [`Resolver`](crate::Resolver) as the plugin that this crate is. Exactly once in a crate; for any target
/// but `wasm32` it does nothing.
///
/// `export!(Plugin)` exports merging alone; `export!(Plugin, samples)` also its [`Samples`](crate::Samples), for the
/// checker of the laws; `export!(Plugin, samples, validator)` its [`Validator`](crate::Validator) as well, which refuses
/// values when clients write them.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[allow(unsafe_code, reason = "the contract's ABI")]
            #[unsafe(export_name = "kinfold:merge/resolver@0.1.0#merge")]
            unsafe extern "C" fn merge(
                bucket: *mut u8,
                bucket_len: usize,
                key: *mut u8,
                key_len: usize,
                config: *mut u8,
                config_len: usize,
                siblings: *const u8,
                siblings_len: usize,
            ) -> *const $crate::component::Answer {
                use $crate::component::block;
                let context =
                    [block(bucket, bucket_len), block(key, key_len), block(config, config_len)];
                // SAFETY: the host lowers the arguments as the contract says.
                unsafe { $crate::component::merge::<$plugin>(context, (siblings, siblings_len)) }
            }
        };
    };
    ($plugin:ty, samples) => {
        $crate::export!($plugin);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[allow(unsafe_code, reason = "the contract's ABI")]
            #[unsafe(export_name = "kinfold:merge/laws@0.1.0#sample")]
            extern "C" fn sample(seed: u64, size: u32) -> *const $crate::component::Bytes {
                $crate::component::sample::<$plugin>(seed, size)
            }

            #[allow(unsafe_code, reason = "the contract's ABI")]
            #[unsafe(export_name = "kinfold:merge/laws@0.1.0#equivalent")]
            unsafe extern "C" fn equivalent(
                a: *mut u8,
                a_len: usize,
                b: *mut u8,
                b_len: usize,
            ) -> u32 {
                use $crate::component::block;
                // SAFETY: the host lowers the arguments as the contract says.
                unsafe {
                    $crate::component::equivalent::<$plugin>([block(a, a_len), block(b, b_len)])
                }
            }
        };
    };
    ($plugin:ty, samples, validator) => {
        $crate::export!($plugin, samples);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[allow(unsafe_code, reason = "the contract's ABI")]
            #[unsafe(export_name = "kinfold:merge/validator@0.1.0#validate")]
            unsafe extern "C" fn validate(
                bucket: *mut u8,
                bucket_len: usize,
                key: *mut u8,
                key_len: usize,
                config: *mut u8,
                config_len: usize,
                value: *mut u8,
                value_len: usize,
            ) -> *const $crate::component::Validity {
                use $crate::component::block;
                let context =
                    [block(bucket, bucket_len), block(key, key_len), block(config, config_len)];
                // SAFETY: the host lowers the arguments as the contract says.
                unsafe { $crate::component::validate::<$plugin>(context, block(value, value_len)) }
            }
        };
    };
}
