//! The program against real mesh servers: what it prints, how it exits.

mod custody;
mod doctor;
mod erasures;
mod following;
mod house;
mod imports;
mod receipts;
mod rights;
mod sites;
mod store;
