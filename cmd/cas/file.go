package main

import (
	"errors"
	"fmt"

	"casgate/cas"
)

// fileCmd is about files: named references to blobs.
type fileCmd struct {
	Put  filePutCmd  `cmd:"" help:"Store files under names, and print their ids."`
	Get  fileGetCmd  `cmd:"" help:"Fetch a file's bytes: from the gateway, verified, or as a provider gives them back."`
	Info fileInfoCmd `cmd:"" help:"Tell what the gateway knows of files."`
	Ls   fileLsCmd   `cmd:"" help:"List files, oldest first."`
	Rm   fileRmCmd   `cmd:"" help:"Delete files: here, only their copies at a provider, or everywhere."`
}

// fileID names a file in the arguments.
type fileID string

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *fileID) UnmarshalText(text []byte) error {
	if !cas.IsFileID(string(text)) {
		return fmt.Errorf("%.100q is not the id of a file, such as file-k3v…; cas file ls lists them", text)
	}
	*f = fileID(text)
	return nil
}

// adviseFile adds the next step to errors about files.
func adviseFile(err error) error {
	if errors.Is(err, cas.ErrFileNotFound) {
		return fmt.Errorf("%w; `cas file ls` lists those there are", err)
	}
	return adviseCopy(err)
}
