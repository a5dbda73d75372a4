-- Run once, by the image, on an empty volume. One role owns the studies; another may only read them.
\getenv owner_password KUBETUNA_PASSWORD
\getenv reader_password KUBETUNA_READER_PASSWORD
CREATE ROLE kubetuna LOGIN PASSWORD :'owner_password';
CREATE ROLE kubetuna_reader LOGIN PASSWORD :'reader_password';
CREATE DATABASE kubetuna OWNER kubetuna;
REVOKE ALL ON DATABASE kubetuna FROM PUBLIC;
GRANT CONNECT ON DATABASE kubetuna TO kubetuna_reader;
\connect kubetuna
GRANT USAGE ON SCHEMA public TO kubetuna_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE kubetuna IN SCHEMA public GRANT SELECT ON TABLES TO kubetuna_reader;
