#![no_main]

longshore_fuzz::target!(request_state);
