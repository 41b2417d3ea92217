//! What both HTTP APIs share: parameters, times, and how an answer leaves.

pub(crate) mod body;
pub(crate) mod cors;
pub(crate) mod params;
pub(crate) mod reply;
pub(crate) mod route;
pub(crate) mod time;
