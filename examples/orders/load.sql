-- Run in the directory of the CSVs.
\copy products FROM products.csv CSV HEADER
\copy orders (order_id, customer, sku, quantity, gateway, card, ship_to) FROM orders.csv CSV HEADER
\copy decisions (order_id, decision, decided_by) FROM decisions.csv CSV HEADER
