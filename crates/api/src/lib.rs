//! etcd's gRPC messages, their translation to commands, and its errors
