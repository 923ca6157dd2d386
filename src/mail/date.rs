//! Dates as RFC 5322 §3.3 and as RFC 3339 write them.
