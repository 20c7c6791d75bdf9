//! Frames between peers and the bytes of commands
