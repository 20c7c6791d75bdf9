//! What a panic inside a run said.
//!
//! A broken assertion of a core is a finding of the run, to be reported with its seed, not a crash of the
//! simulator. While a run goes on, its thread's panics are kept here instead of being printed.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHING: RefCell<bool> = const { RefCell::new(false) };
}

static INSTALL: Once = Once::new();

/// Run with this thread's panics kept.
pub fn caught<T>(run: impl FnOnce() -> T) -> T {
    INSTALL.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.with_borrow(|catching| *catching) {
                LAST.set(Some(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
    CATCHING.set(true);
    let result = run();
    CATCHING.set(false);
    result
}

/// What the last panic of this thread said.
pub fn last() -> String {
    LAST.take().unwrap_or_else(|| "a panic".into())
}
