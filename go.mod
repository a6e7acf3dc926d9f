module smolnet

go 1.26
