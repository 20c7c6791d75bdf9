//! The script vocabulary that golden tests of the cores share
