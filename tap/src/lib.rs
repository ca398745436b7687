//! The tap: a filter within Envoy that measures what passes and never gets in the way.
//!
//! In: requests and answers as Envoy's hooks hand them over. Out: the same bytes, and of each exchange what telemetry
//! needs, as dynamic metadata for the access log: of JSON the names and counts, never content. Each hook is guarded, so
//! that whatever fails here the bytes go on as they came. It knows HTTP and members of JSON by lists that are told to
//! it; it names no provider.

#![allow(unknown_lints, unexpected_cfgs)]

/// A place where tests let the tap fail.
macro_rules! point {
    ($name:expr) => {
        #[cfg(double)]
        crate::double::point($name)
    };
}

mod abi;
mod answer;
mod asking;
#[cfg(double)]
#[path = "../double/double.rs"]
mod double;
mod events;
mod exchange;
mod filter;
mod frames;
mod hiding;
mod hooks;
mod json;
mod keeping;
mod limits;
mod lists;
mod shared;
mod text;
