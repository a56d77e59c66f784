module casgate

go 1.26.0
