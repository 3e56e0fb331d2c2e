// Package ledger keeps the append-only record of what was found, decided, sent and proven, in a
// SQLite file or a PostgreSQL database.
//
// Every entry has a type and one body struct (types.go). Entries form a hash chain, and each
// append signs the chain's head with the installation's key (checkpoint.go). The signed head is
// stored twice: in the database, in the transaction of the append, and in a checkpoint file
// outside the database. Verify compares the three.
//
// The tables lease, sealed and memory share the database but are not part of the chain: leases
// give an incident one actor at a time, sealed credentials can be purged, and memory records the
// items that sources read in earlier scans.
package ledger
