module github.com/sluice-dev/sluice/examples/bookshop

go 1.26
