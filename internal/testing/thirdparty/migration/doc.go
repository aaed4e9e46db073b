// Package migration moves six handlers to package secrets as docs/migration.md says, and measures the move: lines
// changed, and calls to AWS before and after.
//
// A handler has two folders, before and after, each with a program and its environment, function.env. They are written
// for this test after what public handlers of their shape do. lib holds what the programs before import and no module
// proxy offers: each does what its model does, call for call.
package migration
