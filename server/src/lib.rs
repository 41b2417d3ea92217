//! skald-server.
