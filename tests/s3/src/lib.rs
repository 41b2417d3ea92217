//! Tests of `s3://` against a server that speaks the protocol; see `tests/it`. Nothing to link against.
