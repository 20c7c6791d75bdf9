//! Safety properties checked from histories, one per file
