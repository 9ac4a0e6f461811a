SELECT durable.start_instance('fulfil_orders',
	'{"approval_deadline": "25 s", "outage": "12 s"}', instance_id => 'fulfil-orders');
