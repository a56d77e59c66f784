package settings

import "time"

// Scrub says how stored objects are checked and repaired, by gateways and by command.
type Scrub struct {
	ScrubMaxDamaged float64  `name:"scrub-max-damaged" aliases:"max-damaged" env:"CAS_SCRUB_MAX_DAMAGED" default:"50" help:"A scrub that finds a larger share of a batch missing or damaged, in percent, stops and marks none of it. 0: no limit." placeholder:"PERCENT"`
	RepairFrom      []string `name:"repair-from" env:"CAS_REPAIR_FROM" help:"Folders with objects from which a repair may take bytes, such as the object folder of an earlier set-up or a copy of the bucket: an object lies at DIR/sha256/8f/f4/8ff4… (64 hex digits). Separated by commas." placeholder:"DIR"`
}

// BackgroundScrub says how a gateway checks stored objects.
type BackgroundScrub struct {
	Scrub
	ScrubEvery  time.Duration `name:"scrub-every" env:"CAS_SCRUB_EVERY" default:"0" help:"Read each object again in the background, at least once in this time, and compare its digest, such as 720h. Gateways look once a minute for what is due. 0: never."`
	ScrubRate   ByteSize      `name:"scrub-rate" env:"CAS_SCRUB_RATE" default:"10MiB" help:"Bytes that a gateway reads per second for that. 0: no limit." placeholder:"SIZE"`
	ScrubRepair bool          `name:"scrub-repair" env:"CAS_SCRUB_REPAIR" default:"true" negatable:"" help:"Repair damaged objects: from the local tier, --repair-from, the sources of imported files, and providers that return bytes unchanged."`
}
