evla = 3
return function(p) return evla end
