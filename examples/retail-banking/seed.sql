-- The example's data. tools/_database.py makes the database of it when there is none.
CREATE TABLE account (customer TEXT PRIMARY KEY, holder TEXT NOT NULL, cents INTEGER NOT NULL CHECK (cents >= 0));
CREATE TABLE entry (
    id INTEGER PRIMARY KEY, customer TEXT NOT NULL REFERENCES account, day TEXT NOT NULL,
    text TEXT NOT NULL, cents INTEGER NOT NULL, call TEXT UNIQUE
);
INSERT INTO account VALUES ('demo', 'Grace', 184250), ('ada', 'Ada', 90210);
INSERT INTO entry (customer, day, text, cents) VALUES
    ('demo', '2026-10-01', 'Salary', 310000),
    ('demo', '2026-10-02', 'Rent', -98000),
    ('demo', '2026-10-09', 'Supermarket', -6412),
    ('demo', '2026-10-17', 'Railway ticket', -3990),
    ('demo', '2026-10-24', 'Supermarket', -7348),
    ('demo', '2026-11-02', 'Rent', -98000),
    ('demo', '2026-11-14', 'Bookshop', -2350),
    ('ada', '2026-11-01', 'Salary', 290000);
