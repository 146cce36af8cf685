//! The macro that makes a component of a [`Resolver`](crate::Resolver).

/// Exports a [`Resolver`](crate::Resolver) as the plugin that this crate is. Exactly once in a crate; for any target
/// but `wasm32` it does nothing.
#[macro_export]
macro_rules! export {
    ($resolver:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Plugin;

            impl $crate::component::Guest for Plugin {
                fn merge(
                    ctx: $crate::component::Context,
                    siblings: ::std::vec::Vec<$crate::component::Sibling>,
                ) -> ::std::result::Result<
                    ::std::option::Option<::std::vec::Vec<u8>>,
                    $crate::component::MergeError,
                > {
                    $crate::component::merge::<$resolver>(ctx, siblings)
                }
            }

    $crate::component::export_plugin!(Plugin with_types_in $crate::component::bindings);
        };
    };
}
