package main

// fileCmd is about files: named references to blobs.
type fileCmd struct {
	Put  filePutCmd  `cmd:"" help:"Store files under names, and print their ids."`
	Get  fileGetCmd  `cmd:"" help:"Fetch a file's bytes: from the gateway, verified, or as a provider gives them back."`
	Info fileInfoCmd `cmd:"" help:"Show what the gateway knows about files."`
	Ls   fileLsCmd   `cmd:"" help:"List files, oldest first."`
	Rm   fileRmCmd   `cmd:"" help:"Delete files: here, only their copies at a provider, or everywhere."`
}
