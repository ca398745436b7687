//! The functions that Envoy calls, by the names that its interface gives them.

use crate::abi::{Buffer, Bytes, Envoy, GO_ON, VERSION};
use crate::exchange::Exchange;
use crate::filter::Filter;
use crate::lists::{Lists, Variant};
use crate::shared::{Config, Header};
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};

#[no_mangle]
pub extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    std::panic::set_hook(Box::new(|_| {})); // the line of the exchange says so
    VERSION.as_ptr().cast()
}

// configuration

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    _envoy: Envoy,
    _name: Buffer,
    config: Buffer,
) -> *const c_void {
    match catch_unwind(|| Lists::read(config.bytes())) {
        Ok(Some(lists)) => Box::into_raw(Box::new(Config::new(lists))).cast(),
        _ => std::ptr::null(),
    }
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: *mut c_void) {
    drop(Box::from_raw(config.cast::<Config>()));
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: Buffer,
    config: Buffer,
) -> *const c_void {
    match catch_unwind(|| Variant::read(config.bytes())) {
        Ok(Some(variant)) => Box::into_raw(Box::new(variant)).cast(),
        _ => std::ptr::null(),
    }
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(config: *mut c_void) {
    drop(Box::from_raw(config.cast::<Variant>()));
}

// exchanges

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: *const c_void,
    _envoy: Envoy,
) -> *const c_void {
    // Envoy keeps the configuration for as long as there are filters of it.
    Box::into_raw(Box::new(Filter::new(&*config.cast::<Config>()))).cast()
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(filter: *mut c_void) {
    drop(Box::from_raw(filter.cast::<Filter<'static>>()));
}

/// Run a part of the tap; where it fails the bytes go on, with what was held back before them.
unsafe fn guarded(envoy: Envoy, filter: *mut c_void, work: impl FnOnce(&mut Filter<'static>, &Exchange) -> i32) -> i32 {
    let filter = &mut *filter.cast::<Filter<'static>>();
    let exchange = Exchange::new(envoy);
    match catch_unwind(AssertUnwindSafe(|| work(filter, &exchange))) {
        Ok(status) => status,
        Err(_) => {
            let held = filter.fail();
            if !held.is_empty() {
                let piece = exchange.bytes(Bytes::ReceivedResponse);
                exchange.replace(Bytes::ReceivedResponse, &[held, piece].concat());
            }
            GO_ON
        }
    }
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    envoy: Envoy,
    filter: *mut c_void,
    is_last: bool,
) -> i32 {
    guarded(envoy, filter, |filter, exchange| filter.on_request_headers(exchange, is_last))
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    envoy: Envoy,
    filter: *mut c_void,
    is_last: bool,
) -> i32 {
    guarded(envoy, filter, |filter, exchange| filter.on_request_body(exchange, is_last))
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    envoy: Envoy,
    filter: *mut c_void,
) -> i32 {
    guarded(envoy, filter, |filter, exchange| filter.on_request_trailers(exchange))
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    envoy: Envoy,
    filter: *mut c_void,
    is_last: bool,
) -> i32 {
    guarded(envoy, filter, |filter, exchange| filter.on_response_headers(exchange, is_last))
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    envoy: Envoy,
    filter: *mut c_void,
    is_last: bool,
) -> i32 {
    guarded(envoy, filter, |filter, exchange| filter.on_response_body(exchange, is_last))
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    envoy: Envoy,
    filter: *mut c_void,
) -> i32 {
    guarded(envoy, filter, |filter, exchange| filter.on_response_trailers(exchange))
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(envoy: Envoy, filter: *mut c_void) {
    guarded(envoy, filter, |filter, exchange| {
        filter.on_complete(exchange);
        GO_ON
    });
}

#[no_mangle]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    envoy: Envoy,
    filter: *mut c_void,
    _id: u64,
    result: i32,
    headers: *const crate::abi::Pair,
    headers_count: usize,
    pieces: *const Buffer,
    pieces_count: usize,
) {
    guarded(envoy, filter, |filter, exchange| {
        let pairs = slice(headers, headers_count);
        let headers: Vec<Header> =
            pairs.iter().map(|pair| (pair.key.bytes().to_vec(), pair.value.bytes().to_vec())).collect();
        let body: Vec<u8> = slice(pieces, pieces_count).iter().flat_map(|piece| piece.bytes().to_vec()).collect();
        let is_answered = result == crate::abi::CALLOUT_SUCCESS;
        filter.on_second_answer(exchange, if is_answered { Some(&headers) } else { None }, &body);
        GO_ON
    });
    Exchange::new(envoy).go_on_answering();
}

unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() {
        return &[];
    }
    std::slice::from_raw_parts(first, count)
}

// what Envoy looks for, and the tap does not use

#[no_mangle]
pub extern "C" fn envoy_dynamic_module_on_http_filter_local_reply(
    _envoy: Envoy,
    _filter: *mut c_void,
    _status: u32,
    _details: Buffer,
    _will_reset: bool,
) -> i32 {
    GO_ON
}

macro_rules! unused {
    ($($name:ident($($argument:ty),*);)*) => {
        $(
            #[no_mangle]
            pub extern "C" fn $name($(_: $argument),*) {}
        )*
    };
}

unused! {
    envoy_dynamic_module_on_http_filter_http_stream_headers(Envoy, *mut c_void, u64, *const c_void, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_data(Envoy, *mut c_void, u64, *const c_void, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_trailers(Envoy, *mut c_void, u64, *const c_void, usize);
    envoy_dynamic_module_on_http_filter_http_stream_complete(Envoy, *mut c_void, u64);
    envoy_dynamic_module_on_http_filter_http_stream_reset(Envoy, *mut c_void, u64, i32);
    envoy_dynamic_module_on_http_filter_scheduled(Envoy, *mut c_void, u64);
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(Envoy, *mut c_void);
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(Envoy, *mut c_void);
    envoy_dynamic_module_on_http_filter_config_scheduled(Envoy, *mut c_void, u64);
    envoy_dynamic_module_on_http_filter_config_http_callout_done(
        Envoy, *mut c_void, u64, i32, *const c_void, usize, *const c_void, usize
    );
    envoy_dynamic_module_on_http_filter_config_http_stream_headers(Envoy, *mut c_void, u64, *const c_void, usize, bool);
    envoy_dynamic_module_on_http_filter_config_http_stream_data(Envoy, *mut c_void, u64, *const c_void, usize, bool);
    envoy_dynamic_module_on_http_filter_config_http_stream_trailers(Envoy, *mut c_void, u64, *const c_void, usize);
    envoy_dynamic_module_on_http_filter_config_http_stream_complete(Envoy, *mut c_void, u64);
    envoy_dynamic_module_on_http_filter_config_http_stream_reset(Envoy, *mut c_void, u64, i32);
}
