package settings

import "time"

// Journal is what a gateway keeps of its operations.
type Journal struct {
	JournalMode    Switch        `name:"journal" env:"CAS_JOURNAL" default:"on" enum:"on,off" help:"on records every operation in the index; off records and removes none."`
	JournalRetain  time.Duration `name:"journal-retain" env:"CAS_JOURNAL_RETAIN" default:"720h" help:"How long the records of operations are kept. 0: for ever. Postgres keeps them until their day is over, in UTC."`
	JournalMaxSize ByteSize      `name:"journal-max-size" env:"CAS_JOURNAL_MAX_SIZE" default:"4GiB" placeholder:"SIZE" help:"About how much room the records take in the index, at 500 bytes each; the oldest go first. 0: no limit."`
}
