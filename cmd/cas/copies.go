package main

// copiesCmd is about the copies that there are.
type copiesCmd struct {
	Ls        copiesLsCmd        `cmd:"" default:"withargs" help:"List the copies of blobs and files: cas copies BLOB."`
	Rm        copiesRmCmd        `cmd:"" help:"Delete copies at providers. The blobs stay."`
	Lost      copiesLostCmd      `cmd:"" help:"Report that a provider has lost a file. The gateway checks that, and uploads the file again if it is lost."`
	Reconcile copiesReconcileCmd `cmd:"" help:"Compare the copies that the gateway knows with the files that a provider lists. --apply repairs the differences."`

	MoveAccount copiesMoveAccountCmd `cmd:"" name:"move-account" help:"Move the copies of an account to its present name, after a new key or CAS_KIMI_ACCOUNT has changed that."`
}
