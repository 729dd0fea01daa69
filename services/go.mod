module procession.example/services

go 1.27
