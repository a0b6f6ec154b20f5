#![no_main]

use netspace_observe::{Filter, Record};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(error) = Filter::parse(text) {
        let _ = error.to_string();
    }
    if let Ok(record) = Record::from_json(text) {
        assert_eq!(Record::from_json(&record.to_json()).ok(), Some(record));
    }
});
