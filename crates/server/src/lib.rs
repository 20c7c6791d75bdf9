//! A node: threads, sockets, configuration, metrics
