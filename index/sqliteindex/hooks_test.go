package sqliteindex

// Version is version, for tests.
var Version = (*Index).version
