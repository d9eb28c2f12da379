return function(p) return {} end
