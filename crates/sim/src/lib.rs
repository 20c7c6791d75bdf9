//! The seeded world: network, disks, clocks, crashes
